"""Activations that each unit learns how much of to use."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from pawl.data.types import Inputs
from pawl.models import Parametric
from pawl.models.surgery import activations, observe, replace
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_FUNCTIONS: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
    nn.ReLU: F.relu,
    nn.ReLU6: F.relu6,
    nn.GELU: F.gelu,
    nn.SiLU: F.silu,
    nn.Mish: F.mish,
    nn.SELU: F.selu,
    nn.ELU: F.elu,
    nn.Hardswish: F.hardswish,
    nn.Sigmoid: F.sigmoid,
    nn.Tanh: F.tanh,
}
_IMAGE_RANK, _VECTOR_RANK = 4, 2


def parametric_activation(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Puts `x + a_u (f(x) - x)` in the place of each activation `f`, `a_u` learned for each unit `u`.

    `a_u = 1 + d_u / 10` with `d_u` from 0 on, so that it moves slower than weights. For images `u` is a
    channel; where an activation sees inputs of several shapes, or others, all its units share one `a`.
    """
    seen = observe(module, activations(module), sample)

    def make(name: str, old: nn.Module) -> nn.Module | None:
        function = _FUNCTIONS.get(type(old))
        return None if function is None else Parametric(function, _shape(seen.get(name, [])))

    replace(module, make)
    return module


def _shape(seen: list[tuple[int, ...]]) -> tuple[int, ...]:
    shapes = {shape[1:] for shape in seen}
    if len(shapes) != 1:
        return (1,)
    (shape,) = shapes
    if len(shape) + 1 == _VECTOR_RANK:
        return shape
    return (shape[0], 1, 1) if len(shape) + 1 == _IMAGE_RANK else (1,)


def needs_known_activations(facts: Facts) -> str | None:
    """Says that no activation of a known function can be found as a module."""
    names = activations(facts.module)
    if any(type(facts.module.get_submodule(name)) in _FUNCTIONS for name in names):
        return None
    return "the model calls no activation modules of a function that is known here"


TECHNIQUE = ModelTechnique(
    name="parametric_activation",
    summary="Let each unit learn how much of its activation to use.",
    reference="Holzmueller et al., Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on "
    "Tabular Data, 2024, section 3; after He et al., Delving Deep into Rectifiers, 2015",
    apply=parametric_activation,
    phase=Phase.ACTIVATION,
    fits=needs_known_activations,
)
