"""Linear layers that people write out themselves, known by what they compute."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_EXACT = 1e-9


@dataclass(frozen=True)
class Matrix:
    """The weight of a linear layer.

    Attributes:
        weight: Name of the module's own.
        turned: Whether that is `[I, O]`, so that it computes `x W`; else it is `[O, I]`.
    """

    weight: str
    turned: bool

    def of(self, own: nn.Module, count: int) -> nn.Parameter:
        """Returns it, `[O, I]`, with `count` numbers: the module's own weight where that is the same."""
        weight = own.get_parameter(self.weight)
        assert weight.numel() == count
        if not self.turned:
            return weight
        turned = weight.detach().t().contiguous()
        return nn.Parameter(turned, requires_grad=weight.requires_grad)


def linear_weights(
    probe: nn.Module, inputs: list[Tensor], outputs: list[Tensor]
) -> tuple[Matrix, str | None] | None:
    """Returns which weights make a module a linear layer of the last axis: its matrix and its bias.

    Args:
        probe: In double precision, with weights at random; so that it computes the same proves it.
        inputs: Tensors `[..., I]`, with `[O, I]` or `[I, O]` numbers in the matrix.
        outputs: What it returned of them, `[..., O]`.

    Returns:
        `None` if it is none, or has other weights, too.

    Example:
        >>> layer, x = nn.Linear(2, 3).double(), torch.randn(4, 2).double()
        >>> linear_weights(layer, [x], [layer(x)])
        (Matrix(weight='weight', turned=False), 'bias')
    """
    matrices = {name: x for name, x in probe.named_parameters() if x.dim() == 2}
    vectors = {name: x for name, x in probe.named_parameters() if x.dim() == 1}
    if len(matrices) != 1 or len(vectors) > 1:
        return None
    if len(matrices) + len(vectors) != len(list(probe.parameters())):
        return None
    name, matrix = next(iter(matrices.items()))
    bias = next(iter(vectors), None)
    added = None if bias is None else vectors[bias]
    for turned in (False, True):
        weight = matrix.t() if turned else matrix
        if _computes(weight, added, inputs, outputs):
            return Matrix(name, turned), bias
    return None


def _computes(
    weight: Tensor, bias: Tensor | None, inputs: list[Tensor], outputs: list[Tensor]
) -> bool:
    if bias is not None and bias.shape != weight.shape[:1]:
        return False
    return all(
        x.shape[-1] == weight.shape[1]
        and y.shape == (*x.shape[:-1], weight.shape[0])
        and torch.allclose(F.linear(x, weight, bias), y, rtol=_EXACT, atol=_EXACT)
        for x, y in zip(inputs, outputs, strict=True)
    )
