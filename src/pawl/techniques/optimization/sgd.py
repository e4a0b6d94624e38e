"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Settings, Stage, Technique, number


class SgdSettings(Settings):
    """Settings of `sgd`."""

    learning_rate: float = number(0.05, 1e-3, 1.0, "step size", log=True)


def sgd(
    weights: Tensor,
    gradients: Tensor,
    slots: dict[str, Tensor],
    rate: Tensor,
    step: Tensor,
    settings: Any,
) -> None:
    """Computes `w -= rate * g` in place; tensors `[N, P]`, `rate` and `step` `[N]`."""
    weights.addcmul_(gradients, rate.unsqueeze(1), value=-1.0)


TECHNIQUE = Technique(
    name="sgd",
    stage=Stage.UPDATE,
    summary="Plain stochastic gradient descent.",
    reference="Robbins and Monro, A Stochastic Approximation Method, 1951",
    apply=sgd,
    settings=SgdSettings,
    group="optimizer",
    memberwise=frozenset({"learning_rate"}),
    writes=frozenset({"weights"}),
    reference_optimizer=lambda weights, s: torch.optim.SGD(weights, lr=s.learning_rate),
)
