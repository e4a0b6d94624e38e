"""First layers of a pretrained model stay as they are."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import freeze
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


class FreezingSettings(Settings):
    """Settings of `freezing`."""

    share: Literal[0.25, 0.5, 0.75, 1.0] = Field(  # type: ignore[valid-type]  # pydantic takes floats
        1.0, description="share of the layers but the last, the first ones, that do not train"
    )


def freezing(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Keeps the weights of the first `share` of the layers (rounded up), in order of registration.

    A layer is a module with weights of its own; the last one always trains, and so does what other
    techniques put in. Frozen weights are no optimizer's, whose decay would move them, and are held once
    for all members if all seeds have them alike. Batch normalization between them still goes by the
    batch.
    """
    layers = _layers(module)
    for layer in layers[: math.ceil(settings.share * (len(layers) - 1))]:
        for weights in layer.parameters(recurse=False):
            weights.requires_grad_(False)
    return freeze(module)


def _layers(module: nn.Module) -> list[nn.Module]:
    return [m for m in module.modules() if next(m.parameters(recurse=False), None) is not None]


def _fits(facts: Facts) -> str | None:
    if not facts.pretrained:
        return "the model starts from random weights, which have to be learned"
    if len(_layers(facts.module)) < 2:
        return "the model has no layer but the last that trains"
    return None


TECHNIQUE = ModelTechnique(
    name="freezing",
    summary="Train only the last layers of a pretrained model.",
    reference="Yosinski et al., How Transferable Are Features in Deep Neural Networks?, NeurIPS 2014",
    apply=freezing,
    phase=Phase.BLOCKS,
    group="trained",
    settings=FreezingSettings,
    fits=_fits,
)
