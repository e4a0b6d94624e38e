"""The unit that networks which pawl builds are made of."""

from __future__ import annotations

from torch import Tensor, nn


class Block(nn.Module):
    """One layer and its activation, with the input added when `residual`."""

    def __init__(self, layer: nn.Module, *, residual: bool) -> None:
        super().__init__()
        self.layer = layer
        self.activation = nn.ReLU()
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[B, ...]` to `[B, ...]`."""
        y: Tensor = self.activation(self.layer(x))
        return x + y if self.residual else y
