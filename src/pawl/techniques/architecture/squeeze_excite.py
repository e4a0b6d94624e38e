"""Channels that weigh each other."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import SqueezeExcite
from pawl.models.surgery import channel_axes, observe, places, replace
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_MAPS = 4


class SqueezeExciteSettings(Settings):
    """Settings of `squeeze_excite`."""

    reduction: int = Field(4, ge=2, le=16, description="channels over those of the layer between")


def squeeze_excite(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Puts a gate for each channel behind each activation of maps or rows of steps; it starts at 1.

    So the function that the model starts from stays. Activations of vectors are left, and what sees
    other channels each time.
    """
    gated = _gated(module, sample)

    def make(name: str, old: nn.Module) -> nn.Module | None:
        if name not in gated:
            return None
        channels, last = gated[name]
        return nn.Sequential(old, SqueezeExcite(channels, settings.reduction, last=last))

    replace(module, make)
    return module


def _gated(module: nn.Module, sample: Inputs) -> dict[str, tuple[int, bool]]:
    """Returns the channels that activations return, and whether these lie along the last axis."""
    axes = channel_axes(module, sample)
    found = {}
    for name, shapes in observe(module, places(module), sample, returned=True).items():
        last = axes.get(name) == -1
        known = axes.get(name) in (1, -1) or all(len(shape) == _MAPS for shape in shapes)
        channels = {shape[-1 if last else 1] for shape in shapes if len(shape) > 2}
        if known and len(channels) == 1 and all(len(shape) > 2 for shape in shapes):
            found[name] = channels.pop(), last
    return found


def _fits(facts: Facts) -> str | None:
    if _gated(facts.module, facts.sample):
        return None
    return "no activation of the model sees maps, or rows of steps, of the same channels each time"


TECHNIQUE = ModelTechnique(
    name="squeeze_excite",
    summary="Weigh each channel of a map by what all channels say of the whole map.",
    reference="Hu, Shen and Sun, Squeeze-and-Excitation Networks, CVPR 2018; started at 1 as gates "
    "that keep a function are (Bachlechner et al., ReZero, 2020)",
    apply=squeeze_excite,
    phase=Phase.GATES,
    settings=SqueezeExciteSettings,
    fits=_fits,
)
