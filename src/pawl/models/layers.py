"""Layers that know they may train inside a population."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pawl import rng


class KeyedDropout(nn.Module):
    """Dropout whose mask is a pure function of a key, and whose rate is a buffer.

    The rate may so differ between the members of a population, and a member drops the same units
    whether it trains alone or with others. The training loop writes `key` before each step.
    Reference: Srivastava et al., "Dropout", JMLR 2014.

    Args:
        rate: Share of units that is set to zero in training, in `[0, 1)`.
        channels: Drop whole channels (axis 1), as in `nn.Dropout2d`.
    """

    rate: Tensor
    key: Tensor

    def __init__(self, rate: float, *, channels: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("rate", torch.tensor(float(rate)))
        self.register_buffer("key", torch.zeros((), dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        """Drops in training, `[B, ...]` to `[B, ...]`."""
        if not self.training:
            return x
        shape = tuple(x.shape[:2]) + (1,) * (x.dim() - 2) if self.channels else tuple(x.shape)
        keep = rng.uniform(self.key, shape) >= self.rate
        return torch.where(keep, x / (1.0 - self.rate), torch.zeros_like(x))

    def extra_repr(self) -> str:
        """Shows the rate."""
        return f"rate={float(self.rate):g}" if self.rate.dim() == 0 else "rate=[N]"


def dropouts(module: nn.Module) -> list[tuple[str, KeyedDropout]]:
    """Returns the keyed dropout layers of a module with their names, in a fixed order."""
    return [(name, m) for name, m in module.named_modules() if isinstance(m, KeyedDropout)]


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
