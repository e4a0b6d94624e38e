"""How many heads attend: read from what a module does, changed in the attributes that say so.

Attention has no weights of a head's own: rows of its projections are cut into heads. So another number
of heads leaves all weights as they are, if the module takes the number from an attribute of its own.
Which attributes these are is guessed by value and name, and proved: with other values the module must
run as before, and attend with as many heads as it was told.

Shape legend: `B` rows, `H` heads, `D` numbers of a head, `L` steps that look, `S` steps looked at.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pawl.data.types import Inputs
from pawl.errors import first_line
from pawl.models.edits import rows_of, runs_whole
from pawl.models.keyed_calls import KeyedScores
from pawl.models.memory import remembered
from pawl.models.operations import Operation, Trace, traced

Meaning = Literal["heads", "width", "scale", "root"]
"""What an attribute holds: `H`, `D`, `D ** -0.5` or `D ** 0.5`."""
Way = tuple[tuple[str, str, Meaning], ...]
"""Submodule, attribute and meaning of all that has to be set."""
_PRODUCTS = frozenset({"matmul", "__matmul__", "einsum"})
_SCORED = 4  # axes of scores [B, H, L, S], and of queries [B, H, L, D]
_COUNTS = ("h", "nh")
_WIDTHS = ("dim", "size", "width", "depth", "d_k", "d_v", "dk", "dv")
_OF_HEAD = ("d_k", "d_v", "dk", "dv")
_SCALES = ("scal", "norm", "temp", "sqrt", "factor")


@dataclass(frozen=True)
class Attention:
    """A submodule that attends with heads.

    Attributes:
        name: The submodule whose forward attends.
        heads: `H`.
        width: `D`.
    """

    name: str
    heads: int
    width: int

    @property
    def told(self) -> str:
        """Its address, as the user knows it."""
        return repr(self.name.removeprefix("module."))


@dataclass(frozen=True)
class Plan:
    """Which heads can be changed.

    Attributes:
        ways: By submodule that attends, what has to be set.
        reasons: For those that cannot, why, with their address.
    """

    ways: Mapping[str, Way]
    reasons: tuple[str, ...]


def attentions(module: nn.Module, sample: Inputs) -> list[Attention]:
    """Returns what attends with heads, in order."""

    def find() -> list[Attention]:
        rows = rows_of(sample)
        return list(_attending(traced(module, lambda m: m(rows))[0]).values())

    return remembered(module, "attentions", find)


def nearest(found: Attention, factor: float) -> int | None:
    """Returns the number of heads nearest to so many times as many; `None` if none is near.

    It divides the width of all heads together, and is more, or fewer, as the factor says.

    >>> nearest(Attention("", 3, 8), 2.0), nearest(Attention("", 1, 17), 2.0)
    (6, None)
    """
    numbers, wanted = found.heads * found.width, found.heads * factor
    possible = [
        heads
        for heads in range(1, numbers + 1)
        if numbers % heads == 0
        and (heads > found.heads if factor > 1.0 else heads < found.heads)
        and max(heads / wanted, wanted / heads) <= 1.5
    ]
    return min(possible, key=lambda heads: abs(math.log(heads / wanted)), default=None)


def planned(module: nn.Module, sample: Inputs, number: Callable[[Attention], int | None]) -> Plan:
    """Finds what has to be set for other numbers of heads, and proves it on copies.

    Args:
        module: Left as it is.
        sample: A few rows of what it takes.
        number: Returns how many heads are wanted; `None` where there can be no such number.
    """
    found = attentions(module, sample)
    wanted = {each.name: number(each) for each in found}
    what = "heads", tuple(wanted.items())
    return remembered(module, what, lambda: _planned(module, sample, found, wanted))


def exchange(module: nn.Module, sample: Inputs, number: Callable[[Attention], int | None]) -> Plan:
    """Gives attention other numbers of heads, in place, wherever that can be; see `planned`."""
    plan = planned(module, sample, number)
    for each in attentions(module, sample):
        if each.name in plan.ways:
            _tell(module, each, plan.ways[each.name], number(each) or each.heads)
    return plan


def _planned(
    module: nn.Module, sample: Inputs, found: list[Attention], wanted: Mapping[str, int | None]
) -> Plan:
    ways: dict[str, Way] = {}
    reasons: list[str] = []
    possible: list[tuple[Attention, int, list[Way]]] = []
    for each in found:
        heads, every = wanted[each.name], list(_ways(module, each))
        if heads is None:
            numbers = each.heads * each.width
            reasons.append(f"no such number of heads divides the {numbers} numbers of {each.told}")
        elif not every:
            reasons.append(
                f"{each.told} has no attribute that says its number of heads, {each.heads}"
            )
        else:
            possible.append((each, heads, every))
    together = [(each, heads, every[0]) for each, heads, every in possible]
    if together and not _wrong(module, module, together, sample):
        return Plan({each.name: way for each, _, way in together}, tuple(reasons))
    present = copy.deepcopy(module)
    for each, heads, every in possible:
        wrong = ""
        for way in every:
            one = [(each, heads, way)]
            wrong = _wrong(module, present, one, sample)
            if not wrong:
                ways[each.name] = way
                _tell(present, each, way, heads)
                break
        else:
            reasons.append(f"with {heads} heads in {each.told} {wrong}")
    return Plan(ways, tuple(reasons))


def _wrong(
    before: nn.Module,
    present: nn.Module,
    changes: list[tuple[Attention, int, Way]],
    sample: Inputs,
) -> str:
    """Says what is wrong with a module of other numbers of heads; empty if nothing is."""
    after, rows = copy.deepcopy(present), rows_of(sample)
    for each, heads, way in changes:
        _tell(after, each, way, heads)
    try:
        seen = _attending(traced(after, lambda m: m(rows))[0])
    except Exception as error:  # whatever a user's module raises
        return f"the model does not run ({first_line(error)})"
    for each, heads, _ in changes:
        now = Attention(each.name, heads, each.heads * each.width // heads)
        if seen.get(each.name) != now:
            return "it attends otherwise than its attributes say"
    if not runs_whole(before, after, sample, same=False):
        return "the model returns other shapes, or calls other layers"
    return ""


def _attending(trace: Trace) -> dict[str, Attention]:
    """Returns what attends with heads by its name; what does so in unlike numbers is left out."""
    makers = {number: op for op in trace.operations for number in op.outputs}
    found: dict[str, set[tuple[int, int]]] = {}
    for op in trace.operations:
        if isinstance(op.layer, nn.MultiheadAttention):
            heads = op.layer.num_heads
            found.setdefault(op.address.partition("#")[0], set()).add(
                (heads, op.layer.embed_dim // heads)
            )
            continue
        scored = op.name == "scaled_dot_product_attention" or isinstance(op.layer, KeyedScores)
        query = op.inputs[0] if scored else None
        if op.name in ("softmax", "Softmax") and op.inputs:
            query = _query(trace, makers, op.inputs[0])
        if query is None or len(trace.shapes[query]) != _SCORED:
            continue
        # As many heads as there are rows of scores; a query of `einsum` may have them elsewhere.
        shape, scores = trace.shapes[query], trace.shapes[op.inputs[0]]
        found.setdefault(_home(op), set()).add((scores[1], shape[-1]))
    return {name: Attention(name, *sizes.pop()) for name, sizes in found.items() if len(sizes) == 1}


def _query(trace: Trace, makers: Mapping[int, Operation], scores: int) -> int | None:
    """Returns the queries of scores that a softmax takes; what scales and masks them is passed over."""
    shape = trace.shapes[scores]
    number: int | None = scores
    while number is not None and number in makers:
        op = makers[number]
        if op.name in _PRODUCTS:
            return op.inputs[0]
        number = next((each for each in op.inputs if trace.shapes[each] == shape), None)
    return None


def _home(op: Operation) -> str:
    """Returns the submodule whose forward makes a call, or has a layer."""
    where = op.address.partition("#")[0]
    if op.layer is not None and ":" not in where:
        return where.rpartition(".")[0]
    if op.layer is not None:  # it has the place of a call
        where = where.rpartition("calls.")[2]
    return where.partition(":")[0].replace("/", ".")


def _ways(module: nn.Module, found: Attention) -> Iterator[Way]:
    """Yields what may say how many heads there are: by names that speak of it, else by value."""
    homes = [found.name]
    every = _meant(module, found, homes)
    if not any(meaning == "heads" for _, _, meaning in every) and found.name:
        homes.append(found.name.rpartition(".")[0])  # what is called is a helper of what counts
        every = _meant(module, found, homes)
    named = tuple(each for each in every if _speaks(each[1], each[2]))
    # Where there is one head, the width of all is a head's, too: those that name a head go first.
    strict = tuple(each for each in named if each[2] != "width" or _of_head(each[1]))
    counts = [meaning for _, _, meaning in every].count("heads")
    for way in dict.fromkeys((strict, named, every if counts == 1 else ())):
        if any(meaning == "heads" for _, _, meaning in way):
            yield way


def _meant(module: nn.Module, found: Attention, homes: list[str]) -> Way:
    """Returns the attributes that have a value which follows from the number of heads."""
    return tuple(
        (home, name, meaning)
        for home in homes
        for name, value in _numbers(module.get_submodule(home))
        if (meaning := _meaning(name, value, found)) is not None
    )


def _numbers(home: nn.Module) -> Iterator[tuple[str, float]]:
    for name, value in [*vars(home).items(), *home._buffers.items()]:
        if type(value) in (int, float):
            yield name, value
        elif isinstance(value, Tensor) and value.numel() == 1 and value.is_floating_point():
            yield name, float(value)


def _meaning(name: str, value: float, found: Attention) -> Meaning | None:
    if isinstance(value, int):
        if value == found.heads and (value != found.width or _speaks(name, "heads")):
            return "heads"
        return "width" if value == found.width else None
    if any(part in name.lower() for part in _SCALES):
        if math.isclose(value, found.width**-0.5, rel_tol=1e-5):
            return "scale"
        if math.isclose(value, found.width**0.5, rel_tol=1e-5):
            return "root"
    return None


def _speaks(name: str, meaning: Meaning) -> bool:
    """Tells whether an attribute's name goes with what it is taken for."""
    lower = name.lower()
    of_width = any(part in lower for part in _WIDTHS)
    if meaning == "heads":
        return ("head" in lower and not of_width) or lower in _COUNTS
    return meaning != "width" or of_width or _of_head(name)


def _of_head(name: str) -> bool:
    return "head" in name.lower() or name.lower() in _OF_HEAD


def _tell(module: nn.Module, found: Attention, way: Way, heads: int) -> None:
    """Sets attributes, in place."""
    width = found.heads * found.width // heads
    values: dict[Meaning, float] = {
        "heads": heads, "width": width, "scale": width**-0.5, "root": width**0.5,
    }  # fmt: skip
    for home, name, meaning in way:
        owner: Any = module.get_submodule(home)
        present = getattr(owner, name)
        if isinstance(present, Tensor):
            setattr(owner, name, torch.full_like(present, values[meaning]))
        else:
            setattr(owner, name, values[meaning])
