"""The whole pipeline of a trained model: raw inputs to predictions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pawl.data.types import Schema
from pawl.kinds import KINDS
from pawl.models.front import Front
from pawl.models.outputs import outputs


class Deployed(nn.Module):
    """Front layers, model and output in one: raw inputs to probabilities, or to values.

    Takes the schema's inputs in order; returns predictions `[R, *P]` (`pawl.kinds`).
    """

    def __init__(
        self, schema: Schema, front: Front, body: nn.Module, target_mean: Tensor, target_std: Tensor
    ) -> None:
        super().__init__()
        self.names = tuple(spec.name for spec in schema.inputs)
        self.kind, self.num_outputs = KINDS[schema.kind], schema.num_outputs
        self.front, self.body = front, body
        self.register_buffer("target_mean", target_mean.clone())
        self.register_buffer("target_std", target_std.clone())
        self.eval()

    def forward(self, *tensors: Tensor) -> Tensor:
        """Maps raw inputs, in the schema's order, to predictions."""
        raw = self.body(self.front(dict(zip(self.names, tensors, strict=True))))
        found = self.kind.predictions(outputs(raw, self.kind, self.num_outputs))
        if not self.kind.scaled:
            return found
        return found * self.get_buffer("target_std") + self.get_buffer("target_mean")


LEAST_PROBABILITY = 1e-12
"""Probabilities below it count as it, where logarithms are taken."""


def tempered(probabilities: Tensor, temperature: Tensor | float) -> Tensor:
    """Returns `softmax(log p / T)` of probabilities of classes `[..., C]`: above 1 less sure ones."""
    return (probabilities.clamp_min(LEAST_PROBABILITY).log() / temperature).softmax(-1)


class Averaged(nn.Module):
    """Several pipelines of one task; predicts the mean of their predictions.

    Args:
        members: At least one.
        shares: Of each, summing to one; equal by default.
        temperature: What the mean, of probabilities, is tempered by; `None` for nothing.
    """

    temperature: Tensor | None

    def __init__(
        self,
        members: Sequence[Deployed],
        shares: Sequence[float] = (),
        temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer(
            "temperature", None if temperature is None else torch.tensor(temperature)
        )
        self.names = members[0].names
        self.members = nn.ModuleList(members)
        self.shares = tuple(shares) if len(set(shares)) > 1 else ()
        self.eval()

    def forward(self, *tensors: Tensor) -> Tensor:
        """Maps raw inputs, in the schema's order, to predictions."""
        each = torch.stack([member(*tensors) for member in self.members])
        if self.shares:
            mean = torch.tensordot(torch.tensor(self.shares, device=each.device), each, dims=1)
        else:
            mean = each.mean(0)
        return mean if self.temperature is None else tempered(mean, self.temperature)


Pipeline = Deployed | Averaged
"""What predicts from raw inputs."""
