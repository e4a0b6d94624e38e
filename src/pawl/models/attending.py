"""Attention that takes the place of a recurrent layer, and returns what that would."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pawl.models.readers import AttentionBlock

_LONGEST_WAVE = 10_000.0


class AttendingRows(nn.Module):
    """An encoder of attention in place of an `nn.RNN`, `nn.GRU` or `nn.LSTM` that is given no state.

    Maps steps `[B, L, D]` (`[L, B, D]` where rows come second) to `[B, L, C]` and last states
    `[N, B, H]`, or two of these: of each layer, and direction, what it says of the step it would end at.
    A layer of one direction sees the steps before alone, so that what a step says does not depend on
    what comes later, as before.

    Vaswani et al., "Attention Is All You Need", 2017: sums of waves tell where a step lies.

    Shape legend: `B` rows, `L` steps, `D` numbers of a step, `H` units, `C` these times directions, `N`
    layers times directions.

    Args:
        recurrent: The layer; its sizes are taken, not its weights.
    """

    def __init__(self, recurrent: nn.RNNBase) -> None:
        super().__init__()
        self.directions = 2 if recurrent.bidirectional else 1
        self.units, self.rows_first = recurrent.hidden_size, recurrent.batch_first
        self.states = 2 if isinstance(recurrent, nn.LSTM) else 1
        channels = self.units * self.directions
        self.embedding = nn.Linear(recurrent.input_size, channels)
        self.blocks = nn.ModuleList(AttentionBlock(channels) for _ in range(recurrent.num_layers))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        """Attends."""
        x = x if self.rows_first else x.transpose(0, 1)
        y = self.embedding(x) + _waves(x.shape[1], self.embedding.out_features).to(x)
        seen = torch.ones(1, x.shape[1], x.shape[1], dtype=x.dtype, device=x.device)
        if self.directions == 1:
            seen = seen.triu()  # [1, seen, seeing]
        last = []
        for block in self.blocks:
            y = block(y, seen)
            last.append(y[:, -1, : self.units])
            if self.directions == 2:
                last.append(y[:, 0, self.units :])
        state = torch.stack(last)
        out = y if self.rows_first else y.transpose(0, 1)
        return out, (state if self.states == 1 else (state, state))


def _waves(steps: int, channels: int) -> Tensor:
    """Returns sines and cosines of the step's number, `[L, C]`, of lengths from `2 pi` on."""
    rates = torch.exp(-math.log(_LONGEST_WAVE) * torch.arange(0, channels, 2) / channels)
    angles = torch.arange(steps).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :channels]
