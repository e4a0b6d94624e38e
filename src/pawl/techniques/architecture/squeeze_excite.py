"""Channels that weigh each other."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import SqueezeExcite
from pawl.models.surgery import activations, channel_axes, observe, replace
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_MAPS = 4


class SqueezeExciteSettings(Settings):
    """Settings of `squeeze_excite`."""

    reduction: int = Field(4, ge=2, le=16, description="channels over those of the layer between")


def squeeze_excite(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Puts a gate for each channel behind each activation of maps `[B, C, H, W]`; it starts at 1.

    So the function that the model starts from stays. Activations of vectors are left.
    """
    seen = _maps(module, sample)

    def make(name: str, old: nn.Module) -> nn.Module | None:
        channels = {shape[1] for shape in seen.get(name, ()) if len(shape) == _MAPS}
        if len(channels) != 1:
            return None
        return nn.Sequential(old, SqueezeExcite(channels.pop(), settings.reduction))

    replace(module, make)
    return module


def _maps(module: nn.Module, sample: Inputs) -> dict[str, list[tuple[int, ...]]]:
    """Returns what each activation sees, but those with channels along the last axis."""
    axes = channel_axes(module, sample)
    seen = observe(module, activations(module), sample)
    return {name: shapes for name, shapes in seen.items() if axes.get(name) != -1}


def _fits(facts: Facts) -> str | None:
    seen = _maps(facts.module, facts.sample)
    channels = [{shape[1] for shape in shapes if len(shape) == _MAPS} for shapes in seen.values()]
    if any(len(each) == 1 for each in channels):
        return None
    return "no activation of the model sees maps [B, C, H, W] of the same channels each time"


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
