"""Weights that are drawn back to where a pretrained model started."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.models.layout import Layout
from pawl.techniques.record import Settings, number
from pawl.techniques.stages import WeightsTechnique
from pawl.techniques.transfer._starts import needs_body
from pawl.techniques.values import StepContext


class L2SpSettings(Settings):
    """Settings of `l2_sp`."""

    strength: float = number(
        0.3,
        0.01,
        30.0,
        "how much of the way back a step takes, per unit of learning rate",
        log=True,
    )


def _init(weights: Tensor, layout: Layout) -> dict[str, Tensor]:
    return {"start": weights.clone()}


def l2_sp(weights: Tensor, state: dict[str, Tensor], context: StepContext, settings: Any) -> None:
    """`w -= rate strength (w - start)` for all layers but the last, behind each step, in place.

    It is the gradient of `strength / 2 |w - start|^2`, taken beside the optimizer's step, as AdamW takes
    its decay: in the gradient, adaptive optimizers would scale it away. The last layer, which is new, is
    left to the optimizer's own decay. It keeps much of the first weights, so it hurts where the new task
    is far from the old one.

    Args:
        weights: `[N, P]`.
        state: `start`, `[N, P]`.
        context: Rates and the layout.
        settings: `strength`, `[N]`.
    """
    body = (context.layout.depths(weights.device) < 1.0).to(weights)
    share = (context.rate * settings.strength).clamp_max(1.0).unsqueeze(1) * body
    weights.copy_(weights.lerp(state["start"], share))


TECHNIQUE = WeightsTechnique(
    name="l2_sp",
    summary="Draw the weights of a pretrained model back to where they started.",
    reference="Li et al., Explicit Inductive Bias for Transfer Learning, ICML 2018",
    apply=l2_sp,
    settings=L2SpSettings,
    memberwise=frozenset({"strength"}),
    conflicts=frozenset({"linear_probe", "from_scratch"}),
    fits=needs_body,
    init=_init,
)
