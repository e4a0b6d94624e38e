"""Quantities: one, or several at once.

Shape legend: see `pawl.kinds.kind`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pawl.kinds.kind import Kind
from pawl.options import KindName

_MAX_BINS = 10


class Values(Kind):
    """One quantity: targets, outputs and predictions `[R]`."""

    name: KindName = "regression"
    phrase = "regression"
    default_metric = "rmse"
    scaled = True
    shapes = "[B] or [B, 1]"

    def outputs(self, raw: Tensor, count: int) -> Tensor | None:
        """Takes `[B]` and `[B, 1]`."""
        if raw.dim() == 1 or (raw.dim() == 2 and raw.shape[-1] == 1):
            return raw.flatten()
        return None

    def loss(self, outputs: Tensor, targets: Tensor, soft: Tensor | None = None) -> Tensor:
        """The squared error, the mean over targets or pixels."""
        errors = F.mse_loss(outputs, targets, reduction="none")
        return errors.flatten(1).mean(1) if errors.dim() > 1 else errors

    def predictions(self, outputs: Tensor) -> Tensor:
        """As they are."""
        return outputs

    def pooled(self, outputs: Tensor) -> Tensor:
        """The mean."""
        return outputs.mean(0)

    def constant(self, targets: Tensor, count: int) -> Tensor:
        """The mean."""
        return targets.double().mean(0).float()

    def made_up(self, targets: Tensor, count: int, generator: torch.Generator) -> list[Tensor]:
        """Those of other rows, and the right ones."""
        order = torch.randperm(len(targets), generator=generator)
        return [targets[order] + 0.1 * targets.std(0, correction=0), targets]

    def strata(self, targets: Tensor, size: int) -> NDArray[np.int64]:
        """Up to ten bins of equal size by rank, whatever ties and heavy tails there are."""
        num_rows = len(targets)
        num_bins = max(1, min(_MAX_BINS, size, num_rows - size))
        bins = np.empty(num_rows, dtype=np.int64)
        order = np.argsort(self._position(targets.numpy()), kind="stable")
        bins[order] = np.arange(num_rows) * num_bins // num_rows
        return bins

    def _position(self, targets: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns what rows are put in order by, `[R]`."""
        return targets


class SeveralValues(Values):
    """Several quantities at once: targets, outputs and predictions `[R, T]`.

    Each counts alike: all are learned in units of their own deviation.
    """

    name: KindName = "multitarget"
    phrase = "regression of several targets"
    default_metric = "r2"
    target_axes = 1
    prediction_axes = 1
    shapes = "[B, {outputs}]"

    def outputs(self, raw: Tensor, count: int) -> Tensor | None:
        """Takes `[B, T]`."""
        return raw if raw.dim() == 2 and raw.shape[-1] == count else None

    def _position(self, targets: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean of a row's ranks."""
        ranks = targets.argsort(0, kind="stable").argsort(0, kind="stable")
        mean: NDArray[np.float32] = ranks.mean(1).astype(np.float32)
        return mean
