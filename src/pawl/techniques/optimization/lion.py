"""Lion: steps of one size, in the direction of the momentum's sign."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.techniques.record import Settings, number
from pawl.techniques.stages import UpdateTechnique, zeros
from pawl.techniques.values import StepContext


class LionSettings(Settings):
    """Settings of `lion`."""

    learning_rate: float = number(3e-4, 1e-6, 3e-3, "step size of every weight", log=True)
    beta1: float = number(0.9, 0.8, 0.98, "weight of the average in the direction of a step")
    beta2: float = number(0.99, 0.9, 0.999, "decay of the gradient's average")
    weight_decay: float = number(0.1, 1e-3, 10.0, "decay per step and learning rate", log=True)


def lion(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Computes `w -= rate (sign(b1 m + (1 - b1) g) + decay w); m = b2 m + (1 - b2) g`, in place.

    Tensors are `[N, P]`, the rest `[N]`. Rates are three to ten times smaller than AdamW's, and decay is
    larger by as much, as the authors advise.
    """
    average = state["exp_avg"]
    direction = average.lerp(gradients, (1.0 - settings.beta1).unsqueeze(1)).sign_()
    weights.mul_((1.0 - context.rate * settings.weight_decay).unsqueeze(1))
    weights.addcmul_(direction, context.rate.unsqueeze(1), value=-1.0)
    average.lerp_(gradients, (1.0 - settings.beta2).unsqueeze(1))


TECHNIQUE = UpdateTechnique(
    name="lion",
    summary="Step by the sign of the gradient's average.",
    reference="Chen et al., Symbolic Discovery of Optimization Algorithms, NeurIPS 2023",
    apply=lion,
    settings=LionSettings,
    memberwise=frozenset({"learning_rate", "beta1", "beta2", "weight_decay"}),
    conflicts=frozenset({"weight_decay"}),
    init=zeros("exp_avg"),
)
