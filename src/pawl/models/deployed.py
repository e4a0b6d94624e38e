"""The whole pipeline of a trained model: raw inputs to predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pawl.data.types import Schema
from pawl.kinds import KINDS
from pawl.models.corrected import LEAST, Corrected
from pawl.models.front import Front
from pawl.models.outputs import outputs


class Deployed(nn.Module):
    """Front layers, model and output in one: raw inputs to probabilities, or to values.

    Takes the schema's inputs in order; returns predictions `[R, *P]` (`pawl.kinds`).

    Args:
        schema: The data's.
        front: What makes the model's inputs.
        body: The model.
        target_mean: Of the rows that it learned, `[*S]`; 0 where targets are not scaled.
        target_std: Their deviation; 1 alike.
        limits: Least and largest value to predict, `[*S]`; `None` for any.
    """

    def __init__(
        self,
        schema: Schema,
        front: Front,
        body: nn.Module,
        target_mean: Tensor,
        target_std: Tensor,
        limits: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.names = tuple(spec.name for spec in schema.inputs)
        self.kind, self.num_outputs = KINDS[schema.kind], schema.num_outputs
        self.front, self.body = front, body
        self.register_buffer("target_mean", target_mean.clone())
        self.register_buffer("target_std", target_std.clone())
        self.limited = limits is not None
        if limits is not None:
            self.register_buffer("target_low", limits[0].clone())
            self.register_buffer("target_high", limits[1].clone())
        self.eval()

    def forward(self, *tensors: Tensor) -> Tensor:
        """Maps raw inputs, in the schema's order, to predictions."""
        raw = self.body(self.front(dict(zip(self.names, tensors, strict=True))))
        found = self.kind.predictions(outputs(raw, self.kind, self.num_outputs))
        if not self.kind.scaled:
            return found
        found = found * self.get_buffer("target_std") + self.get_buffer("target_mean")
        if not self.limited:
            return found
        low, high = self.get_buffer("target_low"), self.get_buffer("target_high")
        return torch.minimum(torch.maximum(found, low), high)


LEAST_PROBABILITY = LEAST
"""Probabilities below it count as it, where logarithms are taken."""


def tempered(
    probabilities: Tensor, temperature: Tensor | float, shift: Tensor | float | None = None
) -> Tensor:
    """Returns `softmax(log p / T)` of probabilities of classes `[..., C]`: above 1 less sure ones.

    Of two classes the second's logarithm also gets `shift`: so a threshold other than one half becomes
    one half.
    """
    found: Tensor = probabilities.clamp_min(LEAST_PROBABILITY).log() / temperature
    if shift is not None:
        found = torch.stack([found[..., 0], found[..., 1] + shift], -1)
    return found.softmax(-1)


def threshold_of(shift: float) -> float:
    """Returns from which probability on the second of two classes is predicted, with this shift."""
    return 1.0 / (1.0 + math.exp(shift))


class Averaged(nn.Module):
    """Several pipelines of one task; predicts the mean of their predictions.

    Or, where trees correct it, what these make of the mean of each group.

    Args:
        members: At least one.
        shares: Of each, summing to one; equal by default.
        temperature: What the mean, of probabilities, is tempered by; `None` for nothing.
        shift: Of the second of two classes; `None` for nothing. See `tempered`.
        corrected: Combines the groups' means in place of shares, temperature and shift; `None` for
            these.
        groups: Of each member, which of the predictors it is one of that `corrected` takes.
    """

    temperature: Tensor | None
    shift: Tensor | None

    def __init__(
        self,
        members: Sequence[Deployed],
        shares: Sequence[float] = (),
        temperature: float | None = None,
        shift: float | None = None,
        corrected: Corrected | None = None,
        groups: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.corrected, self.groups = corrected, tuple(groups)
        for name, value in (("temperature", temperature), ("shift", shift)):
            self.register_buffer(name, None if value is None else torch.tensor(value))
        self.names = members[0].names
        self.members = nn.ModuleList(members)
        self.shares = tuple(shares) if len(set(shares)) > 1 else ()
        self.eval()

    def forward(self, *tensors: Tensor) -> Tensor:
        """Maps raw inputs, in the schema's order, to predictions."""
        each = torch.stack([member(*tensors) for member in self.members])
        mean: Tensor
        if self.corrected is not None:
            of_group = [
                each[[at for at, group in enumerate(self.groups) if group == number]].mean(0)
                for number in range(max(self.groups) + 1)
            ]
            found: Tensor = self.corrected(torch.stack(of_group))
            return found
        if self.shares:
            mean = torch.tensordot(torch.tensor(self.shares, device=each.device), each, dims=1)
        else:
            mean = each.mean(0)
        if self.temperature is None and self.shift is None:
            return mean
        temperature = 1.0 if self.temperature is None else self.temperature
        return tempered(mean, temperature, self.shift)


Pipeline = Deployed | Averaged
"""What predicts from raw inputs."""
