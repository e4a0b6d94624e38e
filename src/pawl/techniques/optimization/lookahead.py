"""Lookahead: weights that are drawn back towards slow ones every few steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.models.layout import Layout
from pawl.techniques.record import Settings, number
from pawl.techniques.stages import WeightsTechnique
from pawl.techniques.values import StepContext


class LookaheadSettings(Settings):
    """Settings of `lookahead`."""

    interval: float = number(
        6.0, 3.0, 20.0, "steps between two moves of the slow weights (rounded)"
    )
    share: float = number(0.5, 0.2, 0.9, "how far the slow weights move towards the fast ones")


def _init(weights: Tensor, layout: Layout) -> dict[str, Tensor]:
    return {"slow": weights.clone()}


def lookahead(
    weights: Tensor, state: dict[str, Tensor], context: StepContext, settings: Any
) -> None:
    """Every `interval` steps: `slow += share (w - slow); w = slow`, in place.

    The optimizer's moments go on as they are. Evaluations in between see the fast weights.

    Args:
        weights: `[N, P]`.
        state: `slow`, `[N, P]`.
        context: Steps taken.
        settings: `interval`, `share`, `[N]`.
    """
    slow = state["slow"]
    due = (context.step % torch.round(settings.interval) == 0).unsqueeze(1)
    between = slow.lerp(weights, settings.share.unsqueeze(1))
    slow.copy_(torch.where(due, between, slow))
    weights.copy_(torch.where(due, between, weights))


TECHNIQUE = WeightsTechnique(
    name="lookahead",
    summary="Draw the weights back towards slow ones every few steps.",
    reference="Zhang et al., Lookahead Optimizer: k Steps Forward, 1 Step Back, NeurIPS 2019",
    apply=lookahead,
    settings=LookaheadSettings,
    memberwise=frozenset({"interval", "share"}),
    init=_init,
)
