"""Adafactor: steps scaled by a second moment that is kept for rows and columns only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl.models.layout import Layout
from pawl.techniques.record import Settings, number
from pawl.techniques.stages import UpdateTechnique
from pawl.techniques.tensors import as_matrix, is_matrix, root_mean_squares
from pawl.techniques.values import StepContext

_TINY = 1e-30
_SMALLEST_SIZE = 1e-3


class AdafactorSettings(Settings):
    """Settings of `adafactor`."""

    learning_rate: float = number(0.02, 1e-4, 0.3, "step over the size of a tensor", log=True)
    weight_decay: float = number(0.01, 1e-4, 1.0, "decay per step and learning rate", log=True)


def _init(weights: Tensor, layout: Layout) -> dict[str, Tensor]:
    rows = columns = others = 0
    for name, shape, size in zip(layout.names, layout.shapes, layout.sizes, strict=True):
        if is_matrix(name, shape):
            rows, columns = rows + as_matrix(shape)[0], columns + as_matrix(shape)[1]
        else:
            others += size
    sizes = {"rows": rows, "columns": columns, "variance": others}
    return {name: weights.new_zeros(len(weights), size) for name, size in sizes.items()}


def coefficients(rate: Tensor, step: Tensor, settings: Any) -> dict[str, Tensor]:
    """Returns the weight of a new square and the relative step size, `[K, N]`."""
    return {"share": step**-0.8, "size": torch.minimum(rate, step.rsqrt())}


def adafactor(
    weights: Tensor,
    gradients: Tensor,
    state: dict[str, Tensor],
    context: StepContext,
    settings: Any,
) -> None:
    """Divides gradients by the root of their running square, which is a product for matrices, in place.

    A matrix's second moment is `row column / mean(row)` of the means over its rows and columns, so that
    the state is as large as its sides. What comes of the division is clipped to a root mean square of 1,
    then multiplied by the tensor's own (at least 0.001) and by the rate, or `1 / sqrt(t)` if less.

    Convolutions are taken as matrices of units and all that each sees; PyTorch's takes the sides of the
    kernel. Else as there.

    Args:
        weights: `[N, P]`; first shrunk by `rate * weight_decay`.
        gradients: `[N, P]`.
        state: `rows`, `columns`, and of other tensors `variance`, each `[N, ...]`, one behind the other.
        context: Rate and layout.
        settings: `weight_decay`, and what `coefficients` returned, `[N]`.
    """
    layout, members = context.layout, len(weights)
    share = settings.share.unsqueeze(1)
    row = column = other = 0
    # In the order of the paper: the size of weights is that before they are shrunk.
    sizes = root_mean_squares(layout, weights).clamp_min(_SMALLEST_SIZE)
    weights.mul_((1.0 - context.rate * settings.weight_decay).unsqueeze(1))
    pieces = dict(layout.views(gradients))
    for name, shape in zip(layout.names, layout.shapes, strict=True):
        gradient = pieces[name].reshape(members, *shape)
        if is_matrix(name, shape):
            height, width = as_matrix(shape)
            square = gradient.reshape(members, height, width) ** 2 + _TINY
            by_row = state["rows"][:, row : row + height]
            by_column = state["columns"][:, column : column + width]
            by_row.lerp_(square.mean(2), share)
            by_column.lerp_(square.mean(1), share)
            relative = by_row / by_row.mean(1, keepdim=True)
            second = (relative.unsqueeze(2) * by_column.unsqueeze(1)).view_as(gradient)
            row, column = row + height, column + width
        else:
            size = gradient[0].numel()
            moment = state["variance"][:, other : other + size]
            moment.lerp_(gradient.reshape(members, -1) ** 2 + _TINY, share)
            second, other = moment.view_as(gradient), other + size
        pieces[name] = gradient * second.clamp_min(_TINY).rsqrt()
    step = layout.flat(pieces, members)
    limit = root_mean_squares(layout, step).clamp_min(1.0)
    scale = settings.size.unsqueeze(1) * layout.spread(sizes / limit)
    weights.sub_(scale * step)


TECHNIQUE = UpdateTechnique(
    name="adafactor",
    summary="Adaptive steps in proportion to the weights, with little state.",
    reference="Shazeer and Stern, Adafactor, ICML 2018",
    apply=adafactor,
    settings=AdafactorSettings,
    memberwise=frozenset({"learning_rate", "weight_decay"}),
    conflicts=frozenset({"weight_decay"}),
    init=_init,
    coefficients=coefficients,
)
