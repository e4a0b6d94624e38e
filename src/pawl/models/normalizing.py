"""Normalization of any `nn.Module`: exchanged where there is some, else put in front of activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from torch import nn

from pawl.data.types import Inputs
from pawl.models.exchanged import AlongLast, ChannelRMSNorm
from pawl.models.recurrent import follow, followable
from pawl.models.surgery import NO_ACTIVATION, channel_axes, observe, places, replace

_NORMALIZATIONS: tuple[type[nn.Module], ...] = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    ChannelRMSNorm,
)
_OVER_LAST_AXES = (nn.LayerNorm, nn.RMSNorm)
Make = Callable[[tuple[int, ...]], nn.Module | None]
"""Returns a layer for inputs of such a shape, without the batch axis; `None` if it is for no such."""
OverLast = Callable[[int], nn.Module]
"""Returns a layer for inputs of such a length along the last axis."""


def normalizations(module: nn.Module) -> list[str]:
    """Returns the names of the modules that normalize, in order of registration."""
    return [name for name, m in module.named_modules() if isinstance(m, _NORMALIZATIONS)]


def normalizable(module: nn.Module, sample: Inputs) -> dict[str, list[tuple[int, ...]]]:
    """Returns what each place sees where a module would be normalized, as `observe` does.

    Its normalizations, else its activations and gated units; the module is left as it is.
    """
    return observe(module, normalizations(module) or places(module), sample)


def reject_normalization(
    module: nn.Module, sample: Inputs, make: Make, over_last: OverLast | None = None
) -> str | None:
    """Says why `normalize` cannot do this; `None` if it can."""
    if present := normalizations(module):
        return _reject_exchange(module, observe(module, present, sample), make, over_last)
    seen = observe(module, places(module), sample)
    if not seen:
        behind = followable(module, sample)
        return None if behind and over_last is not None else NO_ACTIVATION
    axes = channel_axes(module, sample)
    for name, shapes in seen.items():
        if len({shape[1:] for shape in shapes}) > 1:
            return f"activation {name!r} is shared by layers of different shapes"
        if all(make(shape[1:]) is None for shape in shapes) and axes.get(name) != -1:
            continue  # it is left
        if any(_place(shape, axes.get(name), over_last) is None for shape in shapes):
            return (
                f"activation {name!r} sees inputs that are neither [B, F] nor [B, C, ...] behind a "
                "convolution"
            )
    return None


def _place(
    shape: tuple[int, ...], axis: int | None, over_last: OverLast | None
) -> Literal["channels", "last"] | None:
    """Says which axis to normalize in front of an activation; `None` if that is not known."""
    if len(shape) > 2 and axis == -1:
        return None if over_last is None else "last"
    if axis == 1 or len(shape) in (2, 4):
        return "channels" if 2 <= len(shape) <= 5 else None
    return None


def _reject_exchange(
    module: nn.Module,
    seen: Mapping[str, list[tuple[int, ...]]],
    make: Make,
    over_last: OverLast | None,
) -> str | None:
    unlike = 0
    for name, shapes in seen.items():
        present = module.get_submodule(name)
        if shapes and over_last is not None and _is_over_last(present, shapes[0]):
            unlike += not _alike(over_last(shapes[0][-1]), present)
            continue
        if any(len(shape) < 2 or len({s[1] for s in shapes}) > 1 for shape in shapes):
            return f"{name!r} normalizes inputs of unlike shapes"
        if any(len(shape) > 2 for shape in shapes) and isinstance(present, _OVER_LAST_AXES):
            return (
                f"{name!r} normalizes over the last axis of inputs [B, ..., C], not over channels"
            )
        made = [make(shape[1:]) for shape in shapes]
        if any(each is None for each in made):
            return f"{name!r} normalizes vectors, of which nothing would be left"
        unlike += any(not _alike(each, present) for each in made)
    return None if unlike else "the model normalizes like that already"


def _alike(one: nn.Module | None, other: nn.Module) -> bool:
    groups = [getattr(each, "num_groups", None) for each in (one, other)]
    return isinstance(other, type(one)) and groups[0] == groups[1]


def _is_over_last(present: nn.Module, shape: tuple[int, ...]) -> bool:
    """Tells whether a layer normalizes the last axis of inputs `[B, ..., C]`, and that alone."""
    return (
        isinstance(present, nn.LayerNorm | nn.RMSNorm)
        and len(shape) > 2
        and tuple(present.normalized_shape) == shape[-1:]
    )


def normalize(
    module: nn.Module, sample: Inputs, make: Make, over_last: OverLast | None = None
) -> nn.Module:
    """Puts `make(shape)` in the place of each normalization; if there is none, before each activation.

    What takes a place keeps the scale and the shift of what was there. Where there are no activations
    either, it goes behind recurrent layers, whose gates are their own.

    Args:
        module: Changed in place.
        sample: A few rows of what it takes.
        make: Makes what normalizes channels.
        over_last: Makes what normalizes the last axis of inputs `[B, ..., C]`, of `C` numbers.
    """
    present = normalizations(module)
    if not present:
        return insert_before_activations(module, sample, make, over_last)
    seen = observe(module, present, sample)

    def exchanged(name: str, old: nn.Module) -> nn.Module | None:
        if not seen.get(name):
            return None
        shape = seen[name][0]
        along = over_last is not None and _is_over_last(old, shape)
        new = over_last(shape[-1]) if over_last is not None and along else make(shape[1:])
        if new is None:
            return None
        inner = new.inner if isinstance(new, AlongLast) else new
        for own in ("weight", "bias"):
            mine, theirs = getattr(inner, own, None), getattr(old, own, None)
            if mine is not None and theirs is not None and mine.shape == theirs.shape:
                mine.data.copy_(theirs)
        return new

    replace(module, exchanged)
    return module


def insert_before_activations(
    module: nn.Module, sample: Inputs, make: Make, over_last: OverLast | None = None
) -> nn.Module:
    """Puts `make(shape)` in front of each activation; `shape` is its input's without batch axis."""
    seen, axes = observe(module, places(module), sample), channel_axes(module, sample)
    if not seen and over_last is not None:
        for name, width in followable(module, sample).items():
            follow(module, name, over_last(width))

    def normalized(name: str, old: nn.Module) -> nn.Module | None:
        if not seen.get(name):
            return None
        shape = seen[name][0]
        if over_last is not None and _place(shape, axes.get(name), over_last) == "last":
            return nn.Sequential(over_last(shape[-1]), old)
        made = make(shape[1:])
        return None if made is None else nn.Sequential(made, old)

    replace(module, normalized)
    return module
