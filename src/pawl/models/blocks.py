"""Parts of a user's network that return what has the shape of what they got: found, and changed.

Such a part is a submodule that is more than one layer, or in a `Sequential` a layer with what follows
it (`Conv2d, BatchNorm2d, ReLU`). What is called again and again in a forward is one part in all calls.
Children of a `Sequential` or a `ModuleList` go before what is an attribute: a block of a list is one,
and not the layers that it has.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from pawl.data.types import Inputs
from pawl.models.build import Adapter
from pawl.models.chains import chained
from pawl.models.edits import rows_of
from pawl.models.keyed_calls import KeyedScores
from pawl.models.layers import Chain
from pawl.models.memory import remembered
from pawl.models.nets import Net
from pawl.models.operations import Operation, Span, Trace, is_layer, traced
from pawl.models.surgery import ACTIVATION_TYPES
from pawl.models.unit import Block

_LEADING = (nn.Linear, _ConvNd)
ADDING = frozenset({"add", "add_", "__add__", "__radd__", "__iadd__"})


@dataclass(frozen=True, eq=False)
class Part:
    """A part that keeps the shape.

    Attributes:
        home: Name of what it is a child of.
        children: Names of the children that it consists of, there.
        residual: Whether it adds its input to something.
        signature: Equal for parts that could take each other's place.
        chained: Whether it is no submodule, but layers that are called one after the other: its children
            have names of any depth.
    """

    home: str
    children: tuple[str, ...]
    residual: bool
    signature: str
    chained: bool = False

    @property
    def name(self) -> str:
        """Its address."""
        return f"{self.home}.{self.children[0]}" if self.home else self.children[0]


def parts(module: nn.Module, sample: Inputs) -> list[Part]:
    """Returns the parts of a module that keep shapes, in order; if there are none, chains of layers."""
    found = remembered(module, "parts", lambda: list(_examined(module, sample)))
    kept = _outermost(module, [each for each in found if isinstance(each, Part)])
    if kept or isinstance(module, Net):
        return kept
    return remembered(module, "chains", lambda: _chains(module, sample))


def _chains(module: nn.Module, sample: Inputs) -> list[Part]:
    rows = rows_of(sample)
    trace, ran = traced(module, lambda m: m(rows))
    return [
        Part("", names, False, _signature([module.get_submodule(n) for n in names]), chained=True)
        for names in chained(trace, ran, _bends)
    ]


def no_parts(module: nn.Module, sample: Inputs) -> str:
    """Says of a module without such parts what is wrong with the first that could be one."""
    for each in _examined(module, sample):
        if isinstance(each, str):
            return each
    return "the model has no submodule of several layers"


def residual_parts(module: nn.Module, sample: Inputs) -> list[Part]:
    """Returns the parts that add their input to what they return; of pawl's networks those that can."""
    return [
        part
        for part in parts(module, sample)
        if part.residual or isinstance(module.get_submodule(part.name), Block)
    ]


def no_residual_parts(module: nn.Module, sample: Inputs) -> str | None:
    """Says why there are none; `None` if there are."""
    if residual_parts(module, sample):
        return None
    if parts(module, sample):
        return "no part of the model that keeps its shape adds its input to what it returns"
    return no_parts(module, sample)


def made_residual(block: nn.Module) -> nn.Module:
    """Returns a part that adds its input: pawl's own are told to."""
    if isinstance(block, Block):
        block.residual = True
    return block


def _examined(module: nn.Module, sample: Inputs) -> Iterator[Part | str]:
    rows = rows_of(sample)
    trace, _ = traced(module, lambda m: m(rows))
    count = len(next(iter(rows.values())))
    for name, home in module.named_modules():
        if name.startswith("calls") or isinstance(home, Adapter) or is_layer(home):
            continue
        if isinstance(module, Net) and not _is_list(home):
            continue  # of pawl's own networks it is known what their blocks are
        for names in _candidates(home):
            reason = ""
            # Of a layer and what follows it, as much as keeps the shape: pooling is left out.
            for end in range(len(names), 0, -1):
                spans = [trace.calls_of(f"{name}.{n}" if name else n) for n in names[:end]]
                reason = _reason(trace, spans, count)
                if not reason:
                    inside = [home.get_submodule(each) for each in names[:end]]
                    residual = _is_residual(trace, spans[0][0], spans[-1][0])
                    yield Part(name, names[:end], residual, _signature(inside))
                    break
            else:
                told = f"{name}.{names[0]}".removeprefix(".").removeprefix("module.")
                yield f"{told!r} {reason}"


def _outermost(module: nn.Module, found: list[Part]) -> list[Part]:
    """Leaves out stages, which are made of blocks, and layers and attributes inside of blocks."""

    def within(one: Part, other: Part) -> bool:
        return one is not other and f"{one.home}.".startswith(f"{other.name}.")

    listed = [p for p in found if _is_list(module.get_submodule(p.home))]
    listed = [p for p in listed if not _is_inner(module, p, [q for q in listed if within(p, q)])]
    residual = [p for p in listed if p.residual]
    # What adds its input is the block, and not what is inside of it; a stage adds it in its blocks.
    whole = [q for q in residual if not any(within(r, q) for r in residual)]
    listed = [p for p in listed if p.residual or not any(within(p, q) for q in whole)]
    blocks = {p.name for p in listed if not is_layer(module.get_submodule(p.name))}
    inner = [p for p in listed if p.name in blocks]
    kept = [p for p in listed if p.name not in blocks or not any(within(q, p) for q in inner)]
    kept = [p for p in kept if p.name in blocks or not any(within(p, q) for q in kept)]
    apart = [p for p in found if p not in listed and not _is_repeated(module, p)]
    apart = [p for p in apart if not any(within(p, q) or within(q, p) for q in kept)]
    apart = [p for p in apart if not any(within(p, q) for q in apart)]
    return [p for p in found if p in kept or p in apart]


def _is_inner(module: nn.Module, part: Part, around: list[Part]) -> bool:
    """Tells whether a part of a list is one of several unlike ones that a block consists of."""
    kinds = [type(each) for each in module.get_submodule(part.home).children()]
    if len(kinds) < 2 or len(set(kinds)) < len(kinds):
        return False
    for each in around:
        home = module.get_submodule(each.home)
        own = type(home.get_submodule(each.children[0]))
        if sum(type(child) is own for child in home.children()) > 1:
            return True
    return False


def _is_repeated(module: nn.Module, part: Part) -> bool:
    """Tells whether an attribute is inside of one of several blocks of a kind, of which it is a part."""
    names = part.home.split(".")
    for end in range(1, len(names) + 1):
        inside, home = (module.get_submodule(".".join(names[:at])) for at in (end, end - 1))
        alike = [each for each in home.children() if type(each) is type(inside)]
        if _is_list(home) and len(alike) > 1:
            return True
    return False


def _is_list(home: nn.Module) -> bool:
    return isinstance(home, nn.ModuleList | nn.Sequential)


def _candidates(home: nn.Module) -> Iterator[tuple[str, ...]]:
    chain: list[str] = []
    kinds = dict(home.named_children())
    for name, child in kinds.items():
        composite = not is_layer(child) and next(child.parameters(), None) is not None
        if not _is_list(home):
            if composite and not isinstance(child, nn.ModuleList | nn.ModuleDict):
                yield (name,)
            continue
        if composite or isinstance(child, _LEADING):
            if chain:
                yield tuple(chain)
            chain = []
        if composite:
            yield (name,)
        elif chain or isinstance(child, _LEADING):
            chain.append(name)
        if isinstance(home, nn.ModuleList) or type(home).forward is not nn.Sequential.forward:
            chain = []
    if chain:
        yield tuple(chain)


def _reason(trace: Trace, spans: list[list[Span]], rows: int) -> str:
    """Says why something is not such a part; empty if it is one, in each of its calls."""
    if not all(spans) or len({len(each) for each in spans}) > 1:
        return "is not called in each forward, or not all of it as often"
    return next(
        filter(None, (_reason_of(trace, call, rows) for call in zip(*spans, strict=True))), ""
    )


def _reason_of(trace: Trace, call: Sequence[Span], rows: int) -> str:
    first, last = call[0], call[-1]
    if not first.inputs or not last.outputs:
        return "does not map a tensor to one"
    got, gave = trace.shapes[first.inputs[0]], trace.shapes[last.outputs[0]]
    if got != gave:
        return f"returns {list(gave[1:])} of {list(got[1:])}, each row"
    if len(got) == 1 or got[0] != rows:
        return "gets what does not have rows first"
    if not any(_bends(op) for op in trace.operations[first.first : last.behind]):
        return "has no activation in it"
    return ""


def _bends(op: Operation) -> bool:
    """Tells whether an operation is no linear one, as far as that is known."""
    if op.layer is not None:
        return isinstance(op.layer, (*ACTIVATION_TYPES, nn.MultiheadAttention, KeyedScores))
    return op.name in {
        "relu", "relu_", "relu6", "leaky_relu", "elu", "selu", "silu", "mish", "hardswish", "gelu",
        "softplus", "tanh", "sigmoid", "softmax", "scaled_dot_product_attention", "hardtanh", "clamp",
    }  # fmt: skip


def _is_residual(trace: Trace, first: Span, last: Span) -> bool:
    inside = trace.operations[first.first : last.behind]
    return any(op.name in ADDING and first.inputs[0] in op.inputs for op in inside)


def _signature(modules: list[nn.Module]) -> str:
    """Says of what kinds layers are, those with weights in full: rates may differ between blocks."""
    shapes = [[(n, tuple(x.shape)) for n, x in each.state_dict().items()] for each in modules]
    layers = [
        (name, repr(layer) if is_layer(layer) and layer._parameters else type(layer))
        for each in modules
        for name, layer in each.named_modules()
    ]
    return f"{layers} {shapes}"


def place(module: nn.Module, part: Part, make: Callable[[nn.Module], nn.Module]) -> None:
    """Puts what `make` makes of a part in its place; other children keep their names."""
    home = module.get_submodule(part.home)
    inside = [home.get_submodule(name) for name in part.children]
    whole = inside[0] if len(inside) == 1 else nn.Sequential(*inside)
    for name, new in [(n, nn.Identity()) for n in part.children[1:]] + [
        (part.children[0], make(whole))
    ]:
        inner, _, own = name.rpartition(".")
        setattr(home.get_submodule(inner), own, new)


def grown(module: nn.Module, part: Part, copies: list[nn.Module]) -> None:
    """Puts children behind a part."""
    home = module.get_submodule(part.home)
    if not _is_list(home):
        place(module, part, lambda whole: Chain(whole, *copies))
        return
    children: list[tuple[str, nn.Module]] = []
    for name, child in home.named_children():
        children.append((name, child))
        if name == part.children[-1]:
            children += [(f"{name}_{number}", each) for number, each in enumerate(copies, 1)]
    _renew(home, children)


def shrunk(module: nn.Module, part: Part) -> None:
    """Takes a part out."""
    home = module.get_submodule(part.home)
    if not _is_list(home):
        place(module, part, lambda _: Chain())
        return
    _renew(home, [(n, child) for n, child in home.named_children() if n not in part.children])


def _renew(home: nn.Module, children: list[tuple[str, nn.Module]]) -> None:
    counted = all(name.isdigit() for name in home._modules)
    home._modules.clear()
    for number, (name, child) in enumerate(children):
        home.add_module(str(number) if counted else name, child)


def runs(found: list[Part], module: nn.Module) -> list[list[Part]]:
    """Returns parts side by side, or attributes alike, that could take each other's place."""
    groups: list[list[Part]] = []
    for part in found:
        home = module.get_submodule(part.home)
        names = [name for name, _ in home.named_children()]
        last = groups[-1][-1] if groups else None
        beside = (
            last is not None
            and last.home == part.home
            and last.signature == part.signature
            and (
                not _is_list(home)
                or names.index(part.children[0]) == names.index(last.children[-1]) + 1
            )
        )
        if beside:
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def effect(module: nn.Module, part: Part, sample: Inputs) -> float:
    """Returns how far the module's outputs are from what they were without a part; squared, mean."""
    without = copy.deepcopy(module).eval()
    shrunk(without, part)
    rows = rows_of(sample)
    with torch.no_grad():
        change = _first(copy.deepcopy(module).eval()(rows)) - _first(without(rows))
    return float(change.square().mean())


def _first(values: Any) -> Tensor:
    tensors = [x for x in torch.utils._pytree.tree_leaves(values) if isinstance(x, Tensor)]
    return tensors[0].float()
