"""Changes to any `nn.Module`: replace layers by type, or put layers around its activations.

The unit of surgery is the activation module. Normalization goes in front of it and dropout behind
it. What a user's network calls as a function is made a module first (`pawl.models.calls`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from pawl.data.types import Inputs
from pawl.models.axes import channel_axis
from pawl.models.hooked import run_hooked
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
PLACES = (*ACTIVATION_TYPES, nn.GLU)
"""Layers that others are put in front of or behind; a gated unit is no function of each number alone,
so that none of the others can take its place."""
NO_ACTIVATION = (
    "the model has no activation that is known (sigmoid and tanh as functions count as gates, if no "
    "layer takes what they return)"
)
_DROPPING_CHANNELS = nn.Dropout1d | nn.Dropout2d | nn.Dropout3d


def activations(module: nn.Module) -> list[str]:
    """Returns the names of the activation modules, in order of registration."""
    return [name for name, m in module.named_modules() if isinstance(m, ACTIVATION_TYPES)]


def places(module: nn.Module) -> list[str]:
    """Returns the names of the modules that layers are put around, in order of registration."""
    return [name for name, m in module.named_modules() if isinstance(m, PLACES)]


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
        if id(child) not in replaced:
            new = make(name, child)
            if new is None:
                continue
            originals.append(child)
            replaced[id(child)] = new
        parent, _, attribute = name.rpartition(".")
        setattr(module.get_submodule(parent), attribute, replaced[id(child)])
    return len(replaced)


def observe(
    module: nn.Module, names: Sequence[str], sample: Inputs, *, returned: bool = False
) -> dict[str, list[tuple[int, ...]]]:
    """Runs a sample and returns the input shapes that each of these modules saw, call by call.

    Args:
        module: Left as it is.
        names: Of submodules that map a tensor to one.
        sample: What it takes; a few rows of it are run.
        returned: Shapes of what they returned instead.
    """
    seen: dict[str, list[tuple[int, ...]]] = {name: [] for name in names}
    hooks = [
        module.get_submodule(name).register_forward_hook(
            lambda _, args, output, name=name: seen[name].append(
                tuple((output if returned else args[0]).shape)
            )
        )
        for name in seen
    ]
    run_hooked(module, hooks, lambda m: m({name: x[:_FEW_ROWS] for name, x in sample.items()}))
    return seen


def channel_axes(module: nn.Module, sample: Inputs) -> dict[str, int | None]:
    """Returns along which axis the channels lie that each activation sees; in pawl's own networks 1."""
    if isinstance(module, Net):
        return dict.fromkeys(places(module), 1)
    trace, _ = traced(module, lambda m: m({name: x[:_FEW_ROWS] for name, x in sample.items()}))
    return {
        op.address.partition("#")[0]: channel_axis(trace, op.inputs[0])
        for op in trace.operations
        if isinstance(op.layer, PLACES)
    }


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
