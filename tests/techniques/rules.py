"""Rules of techniques on tensors of their own, without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from pawl.models.layout import Layout
from pawl.techniques import GradientContext, StepContext, UpdateTechnique, WeightsTechnique

SHAPES = {"first.weight": (5, 3), "first.bias": (5,), "second.weight": (2, 5), "second.bias": (2,)}
TOTAL = 40.0


def layout_of(shapes: dict[str, tuple[int, ...]]) -> Layout:
    return Layout(tuple(shapes), tuple(shapes.values()), tuple(_size(s) for s in shapes.values()))


def _size(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())


LAYOUT = layout_of(SHAPES)
SIZE = sum(LAYOUT.sizes)


def settings_of(each: Sequence[dict[str, Any]]) -> SimpleNamespace:
    """Returns the settings of some members as techniques get them: numbers as tensors `[N]`."""
    return SimpleNamespace(
        **{
            name: torch.tensor([float(own[name]) for own in each])
            if isinstance(value, float)
            else value
            for name, value in each[0].items()
        }
    )


def context_of(
    step: float,
    rate: Tensor,
    layout: Layout = LAYOUT,
    gradients_at: Callable[[Tensor], Tensor] | None = None,
) -> GradientContext:
    members = len(rate)

    def nowhere(weights: Tensor) -> Tensor:
        raise AssertionError("not asked for")

    return GradientContext(
        rate, torch.full((members,), step), torch.full((members,), TOTAL), layout,
        torch.arange(members, dtype=torch.int32) + int(step), 7, gradients_at or nowhere,
        lambda: torch.empty(0),
    )  # fmt: skip


def taken(
    technique: UpdateTechnique,
    weights: Tensor,
    gradients: Sequence[Tensor],
    each: Sequence[dict[str, Any]],
    layout: Layout = LAYOUT,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns weights `[N, P]` and state after a step for each of the gradients."""
    settings, weights = settings_of(each), weights.clone()
    state = technique.init(weights, layout)
    for step, gradient in enumerate(gradients, start=1):
        now = torch.full((1, len(weights)), float(step))
        more = {}
        if technique.coefficients:
            found = technique.coefficients(settings.learning_rate.unsqueeze(0), now, settings)
            more = {name: value[0] for name, value in found.items()}
        context: StepContext = context_of(step, settings.learning_rate, layout)
        named = SimpleNamespace(**vars(settings), **more)
        technique.apply(weights, gradient, state, context, named)
    return weights, state


def amended(
    technique: WeightsTechnique,
    weights: Sequence[Tensor],
    each: Sequence[dict[str, Any]],
    rate: float = 0.1,
    layout: Layout = LAYOUT,
) -> Tensor:
    """Returns weights after the technique acted behind each step that changed them by these.

    Args:
        technique: The technique.
        weights: The first ones, then what each step adds.
        each: Settings by member.
        rate: The learning rate.
        layout: Of the weights.
    """
    settings, now = settings_of(each), weights[0].clone()
    state = technique.init(now, layout)
    for step, change in enumerate(weights[1:], start=1):
        now.add_(change)
        technique.apply(now, state, context_of(step, torch.full((len(now),), rate)), settings)
    return now
