"""Which tensors of a source go where in a model, by name and shape, and what is said of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pawl.errors import TaskError, option
from pawl.models import MemberLayer, for_channels
from pawl.transfer.columns import Moved

LEAST_SHARE = 0.9
_SHOWN = 3
_WRAPPERS = ("_orig_mod.",)
_COUNTED = "num_batches_tracked"
_WORDS = {
    "gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
    "moving_variance": "running_var",
}  # fmt: skip
"""What normalizations call their own elsewhere, in PyTorch's words."""


@dataclass(frozen=True, eq=False)
class Match:
    """What goes into a model.

    Attributes:
        tensors: By the names of the model.
        total: Tensors of the model's body.
        loaded: Names of those in place as they were.
        adapted: Names of those that were changed to fit, with how.
        skipped: Names of those of another shape, with both shapes.
        missing: Names of the model's that the source lacks.
        unused: Names of the source's that the model lacks.
        renamed: How names were changed, or nothing.
        share: Of the weights of the model's body that are in place.
        head: Whether the last layer's are.
        knows_head: Whether the source has tensors by the last layer's names.
    """

    tensors: dict[str, Tensor]
    total: int
    loaded: tuple[str, ...]
    adapted: dict[str, str]
    skipped: dict[str, str]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    renamed: str
    share: float
    head: bool
    knows_head: bool

    def lines(self) -> list[str]:
        """Returns what was loaded, changed, left out and missing, a few words each."""
        count = len(self.loaded) + len(self.adapted)
        found = [f"{self.share:.1%} of the body loaded ({count} of {self.total} tensors)"]
        if self.renamed:
            found.append(self.renamed)
        found += [f"{name} {how}" for name, how in self.adapted.items()]
        if self.skipped:
            each = [f"{name} ({shapes})" for name, shapes in self.skipped.items()]
            found.append(f"of another shape: {listed(each)}")
        if self.missing:
            found.append(f"not in it: {listed(self.missing)}")
        if self.unused:
            found.append(f"not used: {listed(self.unused)}")
        return found


def listed(names: Collection[str]) -> str:
    """Returns the first few names, and how many there are.

    Example:
        >>> listed(["a", "b"]), listed(list("abcde"))
        ('a, b', 'a, b, c and 2 more')
    """
    shown = list(names)[:_SHOWN]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def match(
    model: Mapping[str, Tensor],
    source: Mapping[str, Tensor],
    *,
    head: str | None,
    entry: str | None = None,
    moved: Mapping[str, Moved] | None = None,
    fresh_head: bool = False,
    saved: Mapping[str, str] | None = None,
) -> Match:
    """Matches tensors by name, once a prefix of either side's is off, and by shape.

    Args:
        model: The model's weights and buffers.
        source: What is to go there.
        head: The layer that makes the outputs, by name: of another shape, it is new.
        entry: The first convolution: kernels for other channels are adapted.
        moved: By the model's names, where columns of tables lie elsewhere.
        fresh_head: Whether the head is new whatever its shape, because its outputs mean something else.
        saved: The model's names by those that it saves itself under, if these are others.
    """
    source, renamed = _renamed(model, source, saved or {})
    moved = moved or {}
    tensors: dict[str, Tensor] = {}
    adapted: dict[str, str] = {}
    skipped: dict[str, str] = {}
    missing: list[str] = []
    for name, own in model.items():
        of_head = head is not None and _is_in(name, head)
        given = source.get(name)
        if of_head and (fresh_head or given is None or given.shape != own.shape):
            continue
        if given is None:
            if not name.endswith(_COUNTED):
                missing.append(name)
        elif name in moved and (found := moved[name].put(own, given)) is not None:
            tensors[name], adapted[name] = found, moved[name].said
        elif given.shape == own.shape:
            tensors[name] = given.to(own.dtype)
        elif entry is not None and name == f"{entry}.weight" and _other_channels(own, given):
            tensors[name] = for_channels(given.to(own.dtype), own.shape[1])
            how = "summed" if own.shape[1] == 1 else "repeated"
            adapted[name] = f"{how} from {given.shape[1]} input channels to {own.shape[1]}"
        else:
            skipped[name] = f"{list(given.shape)}, not {list(own.shape)}"
    body = {
        n: x
        for n, x in model.items()
        if not n.endswith(_COUNTED) and not (head is not None and _is_in(n, head))
    }
    whole = sum(x.numel() for x in body.values())
    placed = [n for n in tensors if n in body]
    return Match(
        tensors=tensors,
        total=len(body),
        loaded=tuple(n for n in placed if n not in adapted),
        adapted=adapted,
        skipped=skipped,
        missing=tuple(missing),
        unused=tuple(n for n, x in source.items() if n not in model and x.is_floating_point()),
        renamed=renamed,
        share=sum(body[n].numel() for n in placed) / whole if whole else 0.0,
        head=any(n not in body and not n.endswith(_COUNTED) for n in tensors),
        knows_head=any(n in source for n in model if head is not None and _is_in(n, head)),
    )


def check_share(found: Match, name: str, *, allow_partial: bool) -> None:
    """Refuses weights that are another model's.

    Raises:
        TaskError: Less than nine tenths of the body are in place and that was not asked for, or none.
    """
    if found.share >= LEAST_SHARE or (allow_partial and found.share > 0.0):
        return
    alone = found.knows_head and not found.share and not found.skipped
    only = "only its last layer is known: " if alone else ""
    what = "; ".join(found.lines()[1:])
    asked = option("allow_partial", True)
    partly = f", start from what fits all the same with {asked}" if found.share else ""
    raise TaskError(
        f"the weights in {name} are not those of this model: {only}{found.share:.1%} of its body match "
        f"by name and shape, and at least {LEAST_SHARE:.0%} must ({what}); give the model that they are "
        f"of{partly}, or let the model's own package load them where it is built"
    )


def _is_in(name: str, layer: str) -> bool:
    return name == layer or name.startswith(f"{layer}.")


def _other_channels(own: Tensor, given: Tensor) -> bool:
    return (
        own.dim() == given.dim() > 2
        and own.shape[0] == given.shape[0]
        and own.shape[2:] == given.shape[2:]
    )


def _renamed(
    model: Mapping[str, Tensor], source: Mapping[str, Tensor], saved: Mapping[str, str]
) -> tuple[dict[str, Tensor], str]:
    """Returns the source by names that fit the model's best, and what was done to them."""
    said = ["read by the names that the model saves itself under"] * bool(saved)
    names = {name: name for name in source}
    for wrapper in _WRAPPERS:
        if any(wrapper in name for name in names.values()):
            names = {name: now.replace(wrapper, "") for name, now in names.items()}
            said.append(f"{wrapper!r} taken off names")
    off, on = max(
        ((off, on) for off in _leads(names.values()) for on in _leads(saved or model)),
        key=lambda pair: (
            _fitting(model, source, _moved(names, pair[0], pair[1], saved)),
            -len(pair[0]) - len(pair[1]),
        ),
    )
    said += [f"{off!r} taken off names"] * bool(off) + [f"{on!r} put before names"] * bool(on)
    names = _moved(names, off, on, saved)
    given = set(names.values())
    found: dict[str, Tensor] = {}
    for name, now in names.items():
        own = _in_other_words(now)
        renamed = own in model and own not in given and now not in model
        if renamed:
            said.append(f"{_last(now)!r} read as {_last(own)!r}")
        found.setdefault(own if renamed else now, source[name])
    return found, ", ".join(dict.fromkeys(said))


def _moved(names: Mapping[str, str], off: str, on: str, saved: Mapping[str, str]) -> dict[str, str]:
    """Returns the source's names with beginnings exchanged, in the model's words."""
    moved = {name: on + now.removeprefix(off) for name, now in names.items()}
    return {name: saved.get(now, now) for name, now in moved.items()}


def _in_other_words(name: str) -> str:
    lead, dot, last = name.rpartition(".")
    return f"{lead}{dot}{_WORDS.get(last, last)}"


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _fitting(
    model: Mapping[str, Tensor], source: Mapping[str, Tensor], names: Mapping[str, str]
) -> int:
    """Returns how many tensors have a name of the model's, those of the same shape twice."""
    count = 0
    for name, now in names.items():
        own = model.get(now)
        count += 0 if own is None else 1 + (own.shape == source[name].shape)
    return count


def _leads(names: Collection[str]) -> list[str]:
    """Returns the dotted beginnings that at least half of the names share, the empty one first."""
    counts: dict[str, int] = {"": len(names)}
    for name in names:
        parts = name.split(".")
        for end in range(1, min(len(parts), 5)):
            lead = ".".join(parts[:end]) + "."
            counts[lead] = counts.get(lead, 0) + 1
    return [lead for lead, count in counts.items() if 2 * count >= len(names)]


def as_tensors(module: torch.nn.Module, *, rates: bool) -> dict[str, Tensor]:
    """Returns a module's weights and buffers by name, those that are in several places once.

    Whole numbers, but those that count batches, say where things are, and are the model's own matter.
    So are buffers that it never saves.

    Args:
        module: Pawl's, or the user's.
        rates: Whether settings of pawl's own layers, which are buffers, may have been saved, too.
    """
    kept = {id(x) for x in module.state_dict(keep_vars=True).values()}
    if not rates:
        own = [each for each in module.modules() if isinstance(each, MemberLayer)]
        kept -= {id(getattr(each, name)) for each in own for name in each.settings}
    buffers = [(name, x) for name, x in module.named_buffers() if id(x) in kept]
    return {
        name: tensor.detach()
        for name, tensor in (*module.named_parameters(), *buffers)
        if tensor.is_floating_point() or name.endswith(_COUNTED)
    }
