"""Neighbors by a learned distance: rows are embedded, and near ones of those that are kept count most.

Shape legend: `B` rows, `D` numbers of a row, `F` of them with waves, `K` waves of each, `E` what they
are mixed to, `Z` numbers of an embedded row, `C` candidates, `O` outputs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_NEAREST = 1e-12
"""Added to a squared distance, whose root has no slope at 0."""


class Neighborhood(nn.Module):
    """The mean of what candidates have, by their distance in a learned space: `[B, D]` to `[B, O]`.

    `y = sum_c w_c v_c` with `w = softmax(t - |z - z_c|)`, where `z = W [s, relu(M w(s) + m)]` of the
    scaled row `s`, and `w(s)` are cosine and sine of `2 pi f s`; all numbers share `M` and `m`.

    Args:
        outputs: `O`.
        numbers: Which of a row's numbers have waves, `F` at least 1.
        waves: `K`.
        mixed: `E`.

    Attributes:
        shift: `[D]`; a fresh one takes rows of one number.
        scale: What rows are multiplied by once shifted, `[D]`.
        frequency: `[F, K]`.
        mix: `[2 K, E]`.
        constant: `[E]`.
        weight: `[D + F E, Z]`.
        keys: Embedded candidates, `[C, Z]`.
        values: What they have, `[C, O]`.
        tilt: Logarithms of what they count, `[C]`.
        steps: How many steps it was trained by, `[]`.
    """

    shift: Tensor
    scale: Tensor
    frequency: Tensor
    mix: Tensor
    constant: Tensor
    weight: Tensor
    keys: Tensor
    values: Tensor
    tilt: Tensor
    steps: Tensor

    def __init__(self, outputs: int, numbers: tuple[int, ...], waves: int, mixed: int) -> None:
        super().__init__()
        self.numbers = numbers
        fresh = {
            "shift": torch.zeros(1),
            "scale": torch.ones(1),
            "frequency": torch.zeros(len(numbers), waves),
            "mix": torch.zeros(2 * waves, mixed),
            "constant": torch.zeros(mixed),
            "weight": torch.zeros(1 + len(numbers) * mixed, 1),
            "keys": torch.zeros(1, 1),
            "values": torch.zeros(1, outputs),
            "tilt": torch.zeros(1),
            "steps": torch.zeros((), dtype=torch.int64),
        }
        for name, tensor in fresh.items():
            self.register_buffer(name, tensor)

    def embed(self, x: Tensor) -> Tensor:
        """Returns rows in the learned space, `[B, D]` to `[B, Z]`."""
        x = (x - self.shift) * self.scale
        turned = (2.0 * math.pi) * x[:, list(self.numbers)].unsqueeze(-1) * self.frequency
        waves = torch.cat([turned.cos(), turned.sin()], dim=-1)
        mixed = F.relu(waves @ self.mix + self.constant).flatten(1)
        return torch.cat([x, mixed], dim=1) @ self.weight

    def forward(self, x: Tensor) -> Tensor:
        """Compares with all candidates."""
        logits = self.tilt - distances(self.embed(x).double(), self.keys.double()).float()
        return logits.softmax(1) @ self.values


def distances(z: Tensor, keys: Tensor) -> Tensor:
    """Returns Euclidean distances, `[B, Z]` and `[C, Z]` to `[B, C]`."""
    squares = (z * z).sum(1, keepdim=True) - 2.0 * (z @ keys.T) + (keys * keys).sum(1)
    return (squares.clamp_min(0.0) + _NEAREST).sqrt()
