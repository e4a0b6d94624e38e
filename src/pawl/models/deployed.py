"""The whole pipeline of a trained model: raw inputs to predictions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pawl.data.types import Schema
from pawl.models.front import Front
from pawl.models.outputs import outputs


class Deployed(nn.Module):
    """Front layers, model and output in one: raw inputs to probabilities, or to values.

    Takes the schema's inputs in order; returns `[R, C]` probabilities or `[R]` values.
    """

    def __init__(
        self, schema: Schema, front: Front, body: nn.Module, target_mean: float, target_std: float
    ) -> None:
        super().__init__()
        self.names = tuple(spec.name for spec in schema.inputs)
        self.kind, self.num_outputs = schema.kind, schema.num_outputs
        self.front, self.body = front, body
        self.register_buffer("target_mean", torch.tensor(target_mean))
        self.register_buffer("target_std", torch.tensor(target_std))
        self.eval()

    def forward(self, *tensors: Tensor) -> Tensor:
        """Maps raw inputs, in the schema's order, to predictions."""
        raw = self.body(self.front(dict(zip(self.names, tensors, strict=True))))
        out = outputs(raw, self.kind, self.num_outputs)
        if self.kind == "regression":
            return out * self.get_buffer("target_std") + self.get_buffer("target_mean")
        return out.softmax(-1)


class Averaged(nn.Module):
    """Several pipelines of one task; predicts the mean of their predictions.

    Args:
        members: At least one.
    """

    def __init__(self, members: Sequence[Deployed]) -> None:
        super().__init__()
        self.names = members[0].names
        self.members = nn.ModuleList(members)
        self.eval()

    def forward(self, *tensors: Tensor) -> Tensor:
        """Maps raw inputs, in the schema's order, to predictions."""
        return torch.stack([member(*tensors) for member in self.members]).mean(0)


Pipeline = Deployed | Averaged
"""What predicts from raw inputs."""
