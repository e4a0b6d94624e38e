"""Adagrad."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.techniques.record import Settings, number
from pawl.techniques.stages import UpdateTechnique, zeros
from pawl.techniques.values import StepContext

_EPSILON = 1e-10


class AdagradSettings(Settings):
    """Settings of `adagrad`."""

    learning_rate: float = number(0.02, 1e-4, 0.5, "step size", log=True)


def adagrad(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Computes `s += g^2; w -= rate g / sqrt(s)` in place; tensors `[N, P]`, the rate `[N]`.

    Steps get smaller by themselves, least where gradients are rare.
    """
    total = state["sum"]
    total.addcmul_(gradients, gradients)
    step = gradients / total.sqrt().add_(_EPSILON)
    weights.addcmul_(step, context.rate.unsqueeze(1), value=-1.0)


def _torch(weights: list[Tensor], settings: Any) -> torch.optim.Optimizer:
    return torch.optim.Adagrad(weights, lr=settings.learning_rate, eps=_EPSILON)


TECHNIQUE = UpdateTechnique(
    name="adagrad",
    summary="Gradient descent scaled by the root of all squared gradients so far.",
    reference="Duchi, Hazan and Singer, Adaptive Subgradient Methods, JMLR 2011",
    apply=adagrad,
    settings=AdagradSettings,
    memberwise=frozenset({"learning_rate"}),
    init=zeros("sum"),
    optimizer=_torch,
)
