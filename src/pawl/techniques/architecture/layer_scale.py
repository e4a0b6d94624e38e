"""Residual blocks that start small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import LayerScale, is_pretrained
from pawl.models.axes import channel_axis
from pawl.models.blocks import Part, made_residual, no_residual_parts, place, residual_parts
from pawl.models.edits import edited, rows_of
from pawl.models.operations import traced
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


class LayerScaleSettings(Settings):
    """Settings of `layer_scale`."""

    start: Literal[0.01, 0.1, 0.5] = Field(  # type: ignore[valid-type]  # pydantic takes floats
        0.1, description="what blocks start with; 1 where they were learned"
    )


def layer_scale(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Scales what each residual block adds, `x + s (f(x) - x)`, with one `s` for each channel.

    Deep networks then start near the identity. What was learned before starts with `s = 1`, so that its
    function stays. Where it isn't known along which axis channels lie, a block has one `s`.
    """
    learned = is_pretrained(module)
    start = 1.0 if learned else settings.start
    found = residual_parts(module, sample)
    edits: list[Callable[[nn.Module], None]] = [
        partial(place, part=part, make=partial(_scaled, shape=shape, start=start))
        for part, shape in zip(found, _shapes(module, found, sample), strict=True)
    ]
    return edited(module, sample, edits, "layer_scale", same=learned)


def _scaled(block: nn.Module, shape: tuple[int, ...], start: float) -> nn.Module:
    return LayerScale(made_residual(block), shape, start)


def _shapes(module: nn.Module, found: Sequence[Part], sample: Inputs) -> list[tuple[int, ...]]:
    """Returns what scales each part has, against what it returns."""
    rows = rows_of(sample)
    trace, _ = traced(module, lambda m: m(rows))
    shapes: list[tuple[int, ...]] = []
    for part in found:
        home = f"{part.home}." if part.home else ""
        number = trace.calls_of(f"{home}{part.children[-1]}")[0].outputs[0]
        axis, shape = channel_axis(trace, number), trace.shapes[number]
        shapes.append(() if axis is None else (shape[axis], *[1] * (len(shape[axis:]) - 1)))
    return shapes


def _fits(facts: Facts) -> str | None:
    return no_residual_parts(facts.module, facts.sample)


TECHNIQUE = ModelTechnique(
    name="layer_scale",
    summary="Scale what each residual block adds, by a learned number for each channel.",
    reference="Touvron et al., Going Deeper with Image Transformers, ICCV 2021",
    apply=layer_scale,
    phase=Phase.GATES,
    settings=LayerScaleSettings,
    fits=_fits,
)
