"""Small layers that several networks use."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def flat(x: Tensor) -> Tensor:
    """Returns rows of any shape, or single numbers `[B]`, as vectors `[B, F]`."""
    return x.unsqueeze(1) if x.dim() == 1 else x.flatten(1)


class PiecewiseLinear(nn.Module):
    """Says how far each number reaches into each of its bins, from 0 (below) to 1 (above).

    Maps `[B, F]` to `[B, F * K]` for `K` bins.

    Args:
        low: Lower ends, `[F, K]`.
        width: Widths, `[F, K]`; a bin of no width is always 0.
    """

    low: Tensor
    scale: Tensor

    def __init__(self, low: Tensor, width: Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("scale", torch.where(width > 0, 1.0 / width, 0.0))

    def forward(self, x: Tensor) -> Tensor:
        """Encodes."""
        return ((x.unsqueeze(-1) - self.low) * self.scale).clamp(0.0, 1.0).flatten(1)
