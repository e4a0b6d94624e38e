"""Activations that each unit learns how much of to use."""

from __future__ import annotations

import copy

from torch import nn

from pawl.data.types import Inputs
from pawl.models import ByMode, Parametric
from pawl.models.surgery import NO_ACTIVATION, activations, observe, replace
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_IMAGE_RANK, _VECTOR_RANK = 4, 2


def parametric_activation(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Puts `x + a_u (f(x) - x)` in the place of each activation `f`, `a_u` learned for each unit `u`.

    `a_u = 1 + d_u / 10` with `d_u` from 0 on, so that it moves slower than weights. For images `u` is a
    channel; where an activation sees inputs of several shapes, or others, all its units share one `a`.
    """
    seen = observe(module, activations(module), sample)

    def make(name: str, old: nn.Module) -> nn.Module | None:
        if name not in seen or not _plain(old):
            return None
        function = copy.copy(old)
        if "inplace" in function.__dict__:
            function.__dict__["inplace"] = False
        return Parametric(function.forward, _shape(seen[name]))

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


def _plain(activation: nn.Module) -> bool:
    unlike = any(isinstance(each, Parametric | ByMode) for each in activation.modules())
    return not list(activation.parameters()) and not unlike


def needs_known_activations(facts: Facts) -> str | None:
    """Says that no activation of a known function can be found as a module."""
    names = activations(facts.module)
    if any(_plain(facts.module.get_submodule(name)) for name in names):
        return None
    return NO_ACTIVATION if not names else "the model's activations have weights already"


TECHNIQUE = ModelTechnique(
    name="parametric_activation",
    summary="Let each unit learn how much of its activation to use.",
    reference="Holzmueller et al., Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on "
    "Tabular Data, 2024, section 3; after He et al., Delving Deep into Rectifiers, 2015",
    apply=parametric_activation,
    phase=Phase.ACTIVATION,
    fits=needs_known_activations,
)
