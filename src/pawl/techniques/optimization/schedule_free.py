"""Schedule-free AdamW: it averages its own way in place of a falling learning rate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pawl.models.layout import Layout
from pawl.techniques.optimization.adam import EPSILON
from pawl.techniques.optimization.adamw import AdamwSettings
from pawl.techniques.record import Facts, number
from pawl.techniques.stages import UpdateTechnique
from pawl.techniques.values import StepContext


class ScheduleFreeSettings(AdamwSettings):
    """Settings of `schedule_free`."""

    learning_rate: float = number(2.5e-3, 1e-5, 0.1, "step size", log=True)
    beta1: float = number(0.9, 0.8, 0.98, "how near the average gradients are taken")


def _init(weights: Tensor, layout: Layout) -> dict[str, Tensor]:
    return {
        "average": weights.clone(),
        "fast": weights.clone(),
        "exp_avg_sq": torch.zeros_like(weights),
        "total": weights.new_zeros(len(weights)),
    }


def coefficients(rate: Tensor, step: Tensor, settings: Any) -> dict[str, Tensor]:
    """Returns the rate with the second moment's bias correction, `[K, N]`."""
    return {"size": rate * (1.0 - settings.beta2**step).sqrt()}


def schedule_free(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Moves fast weights by AdamW without momentum, and their average, which predicts, in place.

    Gradients are those in between: with fast weights `z`, average `x`, `y = (1 - beta1) z + beta1 x`
    and `s = rate sqrt(1 - beta2^t)`: `z -= s (g(y) / sqrt(v) + decay y)`, and `x` is the mean of all
    `z`, each weighed by its `s^2`. A schedule still multiplies the rate: `constant` has the warm-up
    that the authors advise.

    Args:
        weights: `y`, `[N, P]`.
        gradients: `[N, P]`.
        state: `average` `x`, `fast` `z` and `exp_avg_sq` `v`, `[N, P]`; `total` of the weights, `[N]`.
        context: Not looked at: `coefficients` did.
        settings: Adam's, `weight_decay`, and what `coefficients` returned, `[N]`.
    """
    average, fast, second = state["average"], state["fast"], state["exp_avg_sq"]
    size = settings.size.unsqueeze(1)
    second.lerp_(gradients * gradients, (1.0 - settings.beta2).unsqueeze(1))
    step = gradients / second.sqrt().add_(EPSILON)
    fast.sub_(size * (step + settings.weight_decay.unsqueeze(1) * weights))
    weight = settings.size**2
    state["total"].add_(weight)
    average.lerp_(fast, (weight / state["total"].clamp_min(1e-30)).unsqueeze(1))
    weights.copy_(fast.lerp(average, settings.beta1.unsqueeze(1)))


def _fits(facts: Facts) -> str | None:
    # Their statistics are those of other weights than the ones that predict.
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in facts.module.modules()):
        return "the model has batch normalization, whose statistics would be of other weights"
    return None


TECHNIQUE = UpdateTechnique(
    name="schedule_free",
    summary="AdamW that averages its weights in place of a schedule.",
    reference="Defazio et al., The Road Less Scheduled, NeurIPS 2024",
    apply=schedule_free,
    settings=ScheduleFreeSettings,
    memberwise=frozenset({"learning_rate", "beta1", "beta2", "weight_decay"}),
    conflicts=frozenset({"weight_decay", "batch_norm"}),
    init=_init,
    coefficients=coefficients,
    evaluated="average",
    fits=_fits,
)
