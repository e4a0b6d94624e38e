"""Changes to any `nn.Module`: replace layers by type, or put layers around its activations.

The unit of surgery is the activation module. Normalization goes in front of it and dropout behind
it. What a user's network calls as a function is made a module first (`pawl.models.calls`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from pawl.data.types import Inputs
from pawl.models.axes import channel_axis
from pawl.models.exchanged import AlongLast, ChannelRMSNorm
from pawl.models.layers import OwnActivation, Parametric
from pawl.models.member_layers import KeyedAttention, KeyedDropout
from pawl.models.nets import Net
from pawl.models.operations import traced

_FEW_ROWS = 4  # that shapes are observed on
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
ACTIVATION_TYPES: tuple[type[nn.Module], ...] = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softplus,
    Parametric,
    OwnActivation,
)
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
NO_ACTIVATION = (
    "the model has no activation that is known (sigmoid and tanh as functions count as gates, if no "
    "layer takes what they return)"
)
_DROPPING_CHANNELS = nn.Dropout1d | nn.Dropout2d | nn.Dropout3d
_OVER_LAST_AXES = (nn.LayerNorm, nn.RMSNorm)
Make = Callable[[tuple[int, ...]], nn.Module]
"""Returns a layer for inputs of such a shape, without the batch axis."""
OverLast = Callable[[int], nn.Module]
"""Returns a layer for inputs of such a length along the last axis."""


def activations(module: nn.Module) -> list[str]:
    """Returns the names of the activation modules, in order of registration."""
    return [name for name, m in module.named_modules() if isinstance(m, ACTIVATION_TYPES)]


def normalizations(module: nn.Module) -> list[str]:
    """Returns the names of the modules that normalize, in order of registration."""
    return [name for name, m in module.named_modules() if isinstance(m, _NORMALIZATIONS)]


def replace(module: nn.Module, make: Callable[[str, nn.Module], nn.Module | None]) -> int:
    """Replaces submodules in place by what `make(name, submodule)` returns; `None` leaves one.

    A module that is registered in several places is replaced by one new module in all of them.

    Returns:
        The number of distinct modules that were replaced.
    """
    replaced: dict[int, nn.Module] = {}
    originals: list[nn.Module] = []  # keeps ids alive while they serve as keys
    for name, child in list(module.named_modules(remove_duplicate=False)):
        if not name:
            continue
        parent_name, _, attribute = name.rpartition(".")
        parent = module.get_submodule(parent_name)
        if id(child) not in replaced:
            new = make(name, child)
            if new is None:
                continue
            originals.append(child)
            replaced[id(child)] = new
        setattr(parent, attribute, replaced[id(child)])
    return len(replaced)


def observe(
    module: nn.Module, names: Sequence[str], sample: Inputs
) -> dict[str, list[tuple[int, ...]]]:
    """Runs a sample and returns the input shapes that each of these modules saw, call by call."""
    seen: dict[str, list[tuple[int, ...]]] = {name: [] for name in names}
    hooks = [
        module.get_submodule(name).register_forward_pre_hook(
            lambda _, args, name=name: seen[name].append(tuple(args[0].shape))
        )
        for name in seen
    ]
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            module({name: x[:_FEW_ROWS] for name, x in sample.items()})
    finally:
        for hook in hooks:
            hook.remove()
        module.train(was_training)
    return seen


def normalizable(module: nn.Module, sample: Inputs) -> dict[str, list[tuple[int, ...]]]:
    """Returns what each place sees where a module would be normalized, as `observe` does.

    Its normalizations, else its activations; the module is left as it is.
    """
    return observe(module, normalizations(module) or activations(module), sample)


def reject_normalization(
    module: nn.Module, sample: Inputs, make: Make, over_last: OverLast | None = None
) -> str | None:
    """Says why `normalize` cannot do this; `None` if it can."""
    if present := normalizations(module):
        return _reject_exchange(module, observe(module, present, sample), make, over_last)
    seen = observe(module, activations(module), sample)
    if not seen:
        return NO_ACTIVATION
    axes = channel_axes(module, sample)
    for name, shapes in seen.items():
        if len({shape[1:] for shape in shapes}) > 1:
            return f"activation {name!r} is shared by layers of different shapes"
        if any(_place(shape, axes.get(name), over_last) is None for shape in shapes):
            return (
                f"activation {name!r} sees inputs that are neither [B, F] nor [B, C, ...] behind a "
                "convolution"
            )
    return None


def channel_axes(module: nn.Module, sample: Inputs) -> dict[str, int | None]:
    """Returns along which axis the channels lie that each activation sees; in pawl's own networks 1."""
    if isinstance(module, Net):
        return dict.fromkeys(activations(module), 1)
    trace, _ = traced(module, lambda m: m({name: x[:_FEW_ROWS] for name, x in sample.items()}))
    return {
        op.address.partition("#")[0]: channel_axis(trace, op.inputs[0])
        for op in trace.operations
        if isinstance(op.layer, ACTIVATION_TYPES)
    }


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
        unlike += any(not _alike(make(shape[1:]), present) for shape in shapes)
    return None if unlike else "the model normalizes like that already"


def _alike(one: nn.Module, other: nn.Module) -> bool:
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

    What takes a place keeps the scale and the shift of what was there.

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
        if over_last is not None and _is_over_last(old, shape):
            new = over_last(shape[-1])
        else:
            new = make(shape[1:])
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
    seen, axes = observe(module, activations(module), sample), channel_axes(module, sample)

    def normalized(name: str, old: nn.Module) -> nn.Module | None:
        if not seen.get(name):
            return None
        shape = seen[name][0]
        if over_last is not None and _place(shape, axes.get(name), over_last) == "last":
            return nn.Sequential(over_last(shape[-1]), old)
        return nn.Sequential(make(shape[1:]), old)

    replace(module, normalized)
    return module


def insert_after_activations(module: nn.Module, make: Callable[[str], nn.Module]) -> nn.Module:
    """Puts `make(name)` behind each activation."""
    names = set(activations(module))
    replace(module, lambda name, m: nn.Sequential(m, make(name)) if name in names else None)
    return module


def key_dropout(module: nn.Module) -> nn.Module:
    """Replaces stock dropout by the keyed form, rates kept: members then draw their own masks.

    So is dropout inside of PyTorch's attention.
    """

    def make(_: str, m: nn.Module) -> nn.Module | None:
        if isinstance(m, nn.Dropout | _DROPPING_CHANNELS) and m.p < 1.0:
            return KeyedDropout(m.p, channels=isinstance(m, _DROPPING_CHANNELS))
        if type(m) is nn.MultiheadAttention and 0.0 < m.dropout < 1.0:
            return KeyedAttention.of(m)
        return None

    replace(module, make)
    return module


def assign(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Puts tensors in the place of a module's weights and buffers, whatever the shapes of those are.

    Some shapes follow from what was learned: the nodes of trees, the bins of an encoding.

    Args:
        module: Changed in place.
        tensors: By the names of its weights and buffers.

    Raises:
        AttributeError: It has none of such a name.
    """
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for name, tensor in tensors.items():
        if name in parameters:
            parameters[name].data = tensor.clone()
            continue
        owner, _, own = name.rpartition(".")
        module.get_submodule(owner)._buffers[own] = tensor.clone()
