"""What only looks like a fault, for `diagnosis.py`.

Healthy settings never give cause to try a suspicion. So what trials make of one that is not justified
has to be planted.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from diagnosis_settings import Make, Random, Setting
from torch import Tensor, nn
from torch.nn import functional as F


class Narrowed(nn.Module):
    """A net that gives six numbers, and a layer that reads the outputs from these."""

    def __init__(self, spec: Any, make: Make) -> None:
        super().__init__()
        self.net = make(SimpleNamespace(num_features=spec.num_features, num_outputs=6))
        self.out = nn.Linear(6, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        return self.out(F.gelu(self.net(x)))


def narrowed(at: Setting, random: Random) -> Setting:
    """Six units in front of the outputs."""
    del random
    return replace(at, model=functools.partial(Narrowed, make=at.model))


def eights(at: Setting, random: Random) -> Setting:
    """Batches of eight rows, at half the rate."""
    del random
    rate = at.recipe["adamw"]["learning_rate"]
    return at.with_(batch_size={"size": 8}, adamw={"learning_rate": rate / 2})


def quarters(at: Setting, random: Random) -> Setting:
    """Few steps in a pass, but many passes, at twice the rate."""
    del random
    rate = at.recipe["adamw"]["learning_rate"]
    at = at.with_(batch_size={"size": 128}, adamw={"learning_rate": 2 * rate})
    return replace(at, epochs=4 * at.epochs)
