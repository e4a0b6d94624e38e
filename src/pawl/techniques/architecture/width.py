"""Units per hidden layer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import Net, is_pretrained
from pawl.models.channels import RETURNED
from pawl.models.widening import Widths, resize, widths
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


class WidthSettings(Settings):
    """Settings of `width`."""

    factor: Literal[0.25, 0.5, 1.5, 2.0, 3.0] = Field(  # type: ignore[valid-type]  # pydantic takes floats
        2.0,
        description="units relative to the plain net",
        json_schema_extra={"choices": [0.5, 1.5, 2.0, 3.0]},
    )


def width(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Makes hidden layers wider or narrower.

    Pawl's own network is rebuilt with multiples of 8 units. Of a user's model all layers get other
    units or channels whose consumers are known; fresh weights are drawn, learned ones kept (Chen et al.,
    Net2Net, 2016: wider layers start with the same function).
    """
    if isinstance(module, Net):
        units = max(8, 8 * round(module.shape.width * settings.factor / 8))
        return module.rebuilt(width=units)
    found = widths(module, sample)
    resize(
        module,
        found,
        lambda size: max(1, round(size * settings.factor)),
        preserve=is_pretrained(module),
    )
    return module


def _fits(facts: Facts) -> str | None:
    if isinstance(facts.module, Net):
        return None
    found = widths(facts.module, facts.sample)
    return None if found.sizes else _reason(found)


def _reason(found: Widths) -> str:
    # Of some layer more is to be said than of the last one.
    for name, reason in sorted(found.reasons.items(), key=lambda each: each[1] == RETURNED):
        layer = name.removeprefix("module.")
        return f"no layer's outputs can have another number: of {layer!r}, {reason}"
    return "the model has no linear or convolutional layer of PyTorch's"


TECHNIQUE = ModelTechnique(
    name="width",
    summary="Units per hidden layer, or channels per stage.",
    reference="Zagoruyko and Komodakis, Wide Residual Networks, 2016; learned weights kept as in Chen, "
    "Goodfellow and Shlens, Net2Net, 2016",
    apply=width,
    phase=Phase.WIDTH,
    settings=WidthSettings,
    fits=_fits,
)
