"""Classes: one of two, one of several, or any of several labels.

Shape legend: see `pawl.kinds.kind`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pawl.kinds.kind import Kind
from pawl.options import KindName

SURE = 0.9
"""How likely the right class is made by a good prediction that is made up."""


class OneOf(Kind):
    """One of `C` classes: targets `[R]` int64, outputs logits `[B, C]`, predictions `[R, C]`."""

    target_dtype = torch.int64
    prediction_axes = 1
    has_classes = True
    exclusive = True

    def __init__(self, name: KindName, phrase: str, default_metric: str, shapes: str) -> None:
        self.name, self.phrase, self.default_metric = name, phrase, default_metric
        self.shapes = shapes

    def outputs(self, raw: Tensor, count: int) -> Tensor | None:
        """Takes `[B, C]`; of two classes also one logit, for the second: `[B]` or `[B, 1]`."""
        if self.name == "binary" and (raw.dim() == 1 or (raw.dim() == 2 and raw.shape[-1] == 1)):
            logit = raw.flatten()
            return torch.stack([torch.zeros_like(logit), logit], dim=-1)
        return raw if raw.dim() == 2 and raw.shape[-1] == count else None

    def loss(self, outputs: Tensor, targets: Tensor, soft: Tensor | None = None) -> Tensor:
        """Cross-entropy."""
        if soft is not None:
            return -(soft * outputs.log_softmax(-1)).sum(-1)
        return F.cross_entropy(outputs, targets, reduction="none")

    def predictions(self, outputs: Tensor) -> Tensor:
        """Softmax."""
        if outputs.dim() == 2:
            return outputs.softmax(-1)
        # Along the last axis a CPU goes row by row, which takes ten times as long for few classes.
        return outputs.transpose(-1, -2).softmax(-2).transpose(-1, -2).contiguous()

    def pooled(self, outputs: Tensor) -> Tensor:
        """The logarithm of the mean probability."""
        return outputs.log_softmax(-1).logsumexp(0) - math.log(len(outputs))

    def constant(self, targets: Tensor, count: int) -> Tensor:
        """The shares of the classes."""
        return F.one_hot(targets.long(), count).float().mean(0)

    def made_up(self, targets: Tensor, count: int, generator: torch.Generator) -> list[Tensor]:
        """Random ones, and nearly right ones."""
        random = torch.randn(len(targets), count, generator=generator).softmax(-1)
        exact = F.one_hot(targets, count).to(torch.float32)
        return [random, SURE * exact + (1 - SURE) / count]

    def strata(self, targets: Tensor, size: int) -> NDArray[np.int64]:
        """The classes."""
        codes: NDArray[np.int64] = np.unique(targets.numpy(), return_inverse=True)[1]
        return codes

    def may_be_held_out(self, targets: Tensor) -> Tensor:
        """Not the only row of a class: it should teach, not examine."""
        return targets.bincount()[targets] > 1

    def most_folds(self, targets: Tensor) -> int:
        """Each fold needs both of two classes."""
        if self.name != "binary":
            return len(targets)
        return max(2, int(targets.bincount(minlength=2).min()))

    def labels(self, predictions: NDArray[np.float32]) -> NDArray[np.int64]:
        """The most probable class."""
        best: NDArray[np.int64] = predictions.argmax(-1)
        return best


class AnyOf(Kind):
    """Any of `T` labels: targets `[R, T]` float32 of 0 and 1, outputs logits `[B, T]`.

    Predictions `[R, T]` are the probabilities of the labels, each whatever the others are.
    """

    name = "multilabel"
    phrase = "multilabel classification"
    default_metric = "average_precision"
    target_axes = 1
    prediction_axes = 1
    has_classes = True
    shapes = "[B, {outputs}]"

    def outputs(self, raw: Tensor, count: int) -> Tensor | None:
        """Takes `[B, T]`."""
        return raw if raw.dim() == 2 and raw.shape[-1] == count else None

    def loss(self, outputs: Tensor, targets: Tensor, soft: Tensor | None = None) -> Tensor:
        """Binary cross-entropy, the mean over labels."""
        wanted = targets if soft is None else soft
        return F.binary_cross_entropy_with_logits(outputs, wanted, reduction="none").mean(1)

    def predictions(self, outputs: Tensor) -> Tensor:
        """Sigmoid."""
        return outputs.sigmoid()

    def pooled(self, outputs: Tensor) -> Tensor:
        """The logit of the mean probability."""
        yes, no = F.logsigmoid(outputs).logsumexp(0), F.logsigmoid(-outputs).logsumexp(0)
        return yes - no

    def constant(self, targets: Tensor, count: int) -> Tensor:
        """Each label's share."""
        return targets.mean(0)

    def made_up(self, targets: Tensor, count: int, generator: torch.Generator) -> list[Tensor]:
        """Random ones, and nearly right ones."""
        random = torch.rand(len(targets), count, generator=generator)
        return [random, SURE * targets + (1 - SURE) / 2]

    def strata(self, targets: Tensor, size: int) -> NDArray[np.int64]:
        """By the rarest label of a row: it is the one that a split might miss."""
        values = targets.numpy()
        by_rarity = np.argsort(values.sum(0), kind="stable")
        has_none = ~values.any(1)
        rarest = values[:, by_rarity].argmax(1)
        codes: NDArray[np.int64] = np.unique(np.where(has_none, -1, rarest), return_inverse=True)[1]
        return codes

    def labels(self, predictions: NDArray[np.float32]) -> NDArray[np.int64]:
        """Those that are more likely than not."""
        return (predictions > 0.5).astype(np.int64)
