"""Muon: steps that are orthogonal matrices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pawl.models.layout import Layout
from pawl.techniques.optimization.adam import EPSILON
from pawl.techniques.record import Facts, Settings, number
from pawl.techniques.stages import UpdateTechnique
from pawl.techniques.tensors import as_matrix
from pawl.techniques.values import StepContext

_BETA1, _BETA2 = 0.9, 0.999
_ITERATIONS = 5
_POLYNOMIAL = (3.4445, -4.7750, 2.0315)


class MuonSettings(Settings):
    """Settings of `muon`."""

    learning_rate: float = number(2e-3, 1e-5, 0.03, "step size", log=True)
    momentum: float = number(0.95, 0.8, 0.99, "decay of the gradient's average")
    weight_decay: float = number(0.01, 1e-4, 1.0, "decay per step and learning rate", log=True)


def hidden(layout: Layout) -> tuple[str, ...]:
    """Returns the names of the matrices that take orthogonal steps: all but the last, the output's."""
    matrices = [
        name
        for name, shape in zip(layout.names, layout.shapes, strict=True)
        if len(shape) > 1 and name.rpartition(".")[2].startswith("weight")
    ]
    return tuple(matrices[:-1])


def orthogonalized(x: Tensor) -> Tensor:
    """Returns nearly `U V^T` of `x = U S V^T`, `[N, A, B]`: singular values between 0.7 and 1.2.

    Five Newton-Schulz iterations with Jordan's polynomial, which is steep at 0 and so does not converge
    to 1 exactly.
    """
    tall = x.shape[1] > x.shape[2]
    y = x.transpose(1, 2) if tall else x
    y = y / (torch.linalg.vector_norm(y, dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = _POLYNOMIAL
    for _ in range(_ITERATIONS):
        square = y @ y.transpose(1, 2)
        y = a * y + (b * square + c * (square @ square)) @ y
    found: Tensor = y.transpose(1, 2) if tall else y
    return found


def _init(weights: Tensor, layout: Layout) -> dict[str, Tensor]:
    chosen = hidden(layout)
    rest = sum(s for n, s in zip(layout.names, layout.sizes, strict=True) if n not in chosen)
    return {
        "average": torch.zeros_like(weights),
        "exp_avg_sq": weights.new_zeros(len(weights), rest),
    }


def coefficients(rate: Tensor, step: Tensor, settings: Any) -> dict[str, Tensor]:
    """Returns the two moments' bias corrections of the weights that AdamW moves, `[K, N]`."""
    return {"first": 1.0 / (1.0 - _BETA1**step), "second": (1.0 - _BETA2**step).rsqrt()}


def muon(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Moves hidden matrices along their orthogonalized Nesterov momentum, all else by AdamW, in place.

    A matrix `[A, B]` moves by `0.2 sqrt(max(A, B))` times the rate, so that its step has the root mean
    square of AdamW's (Liu et al., Muon is Scalable for LLM Training, 2025), and one rate serves both.
    Convolutions are matrices of units and all that each sees. The last matrix is taken for the output's
    and left to AdamW, as the author advises; he leaves embeddings to it as well, which look like any
    other matrix here.

    Args:
        weights: `[N, P]`; first shrunk by `rate * weight_decay`.
        gradients: `[N, P]`.
        state: `average` of the gradients, `[N, P]`, and `exp_avg_sq` of all but hidden matrices.
        context: Rate and layout.
        settings: `momentum`, `weight_decay`, and what `coefficients` returned, `[N]`.
    """
    layout, members, chosen = context.layout, len(weights), hidden(context.layout)
    average, second, start = state["average"], state["exp_avg_sq"], 0
    orthogonal = layout.mask(lambda name, _: name in chosen, weights.device)
    keep = settings.momentum.unsqueeze(1)
    average.lerp_(gradients, 1.0 - torch.where(orthogonal > 0, keep, _BETA1))
    weights.mul_((1.0 - context.rate * settings.weight_decay).unsqueeze(1))
    slopes, averages, steps = layout.views(gradients), layout.views(average), {}
    for name, shape, size in zip(layout.names, layout.shapes, layout.sizes, strict=True):
        slope, mean = slopes[name].reshape(members, -1), averages[name].reshape(members, -1)
        if name in chosen:
            height, width = as_matrix(shape)
            ahead = slope.lerp(mean, keep).view(members, height, width)
            steps[name] = 0.2 * max(height, width) ** 0.5 * orthogonalized(ahead)
        else:
            square = second[:, start : start + size]
            square.lerp_(slope * slope, 1.0 - _BETA2)
            scale = square.sqrt().mul_(settings.second.unsqueeze(1)).add_(EPSILON)
            steps[name], start = settings.first.unsqueeze(1) * mean / scale, start + size
    weights.sub_(context.rate.unsqueeze(1) * layout.flat(steps, members))


def _fits(facts: Facts) -> str | None:
    module: nn.Module = facts.module
    if not hidden(Layout.of(module)):
        return "the model has no matrix but the output's, and AdamW would be all that is left"
    return None


TECHNIQUE = UpdateTechnique(
    name="muon",
    summary="Orthogonalize the steps of hidden matrices; AdamW for the rest.",
    reference="Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024",
    apply=muon,
    settings=MuonSettings,
    memberwise=frozenset({"learning_rate", "momentum", "weight_decay"}),
    conflicts=frozenset({"weight_decay"}),
    init=_init,
    coefficients=coefficients,
    fits=_fits,
)
