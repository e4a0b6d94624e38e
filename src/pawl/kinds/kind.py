"""What is predicted: everything that follows from it is asked of one object.

Shape legend: `R` rows, `B` rows of a batch, `C` classes, `T` targets, `O` outputs of the model's last
layer, `K` predictors in one network, `...` leading axes (members). `S` is the shape of one row's target
and `P` that of one row's prediction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.options import KindName

NOTHING = -100
"""The class of a place that has none, such as padding; PyTorch's `ignore_index`."""


class Kind(ABC):
    """What is predicted.

    Attributes:
        name: What options, schema and bundle call it.
        phrase: What reports call it.
        default_metric: What is improved unless the user says otherwise.
        target_dtype: Of targets.
        target_axes: Axes of one row's target, `S`.
        prediction_axes: Axes of one row's prediction, `P`.
        has_classes: Whether predictions are probabilities of classes.
        exclusive: Whether exactly one of several classes is right for a row.
        has_places: Whether a row's target lies on places of it: the steps of a sequence, pixels.
        scaled: Whether targets are learned in units of the training rows' deviation.
        shapes: What a model may return for a batch, `O` being `{outputs}`.
    """

    name: KindName
    phrase: str
    default_metric: str
    target_dtype: torch.dtype = torch.float32
    target_axes: int = 0
    prediction_axes: int = 0
    has_classes: bool = False
    exclusive: bool = False
    has_places: bool = False
    scaled: bool = False
    shapes: str

    @abstractmethod
    def outputs(self, raw: Tensor, count: int) -> Tensor | None:
        """Returns raw outputs as the loss takes them; `None` if their shape is none of `shapes`.

        Args:
            raw: `[B, ...]`.
            count: `O`.
        """

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, soft: Tensor | None = None) -> Tensor:
        """Returns each row's loss, `[B]`, whose mean is the batch's.

        Args:
            outputs: As `outputs` returned them.
            targets: `[B, *S]`.
            soft: Probabilities to learn in place of the targets, `[B, *S, C]` (of labels: `[B, T]`);
                only where there are classes.
        """

    @abstractmethod
    def predictions(self, outputs: Tensor) -> Tensor:
        """Returns predictions `[..., B, *P]`; where targets are scaled, in their units."""

    @abstractmethod
    def pooled(self, outputs: Tensor) -> Tensor:
        """Returns outputs `[B, O]` that predict the mean of what several predictors do, `[K, B, O]`."""

    @abstractmethod
    def constant(self, targets: Tensor, count: int) -> Tensor:
        """Returns the best prediction that is the same for every row, `[*P]`.

        Args:
            targets: Of the training rows, `[R, *S]`.
            count: `O`.
        """

    @abstractmethod
    def made_up(self, targets: Tensor, count: int, generator: torch.Generator) -> list[Tensor]:
        """Returns two unlike predictions of rows with these targets, each `[R, *P]`: bad, and good."""

    @abstractmethod
    def strata(self, targets: Tensor, size: int) -> NDArray[np.int64]:
        """Returns which rows are alike, `[R]`, so that splits take from all.

        Args:
            targets: `[R, *S]`, on the CPU.
            size: Rows of the part that is taken.
        """

    def prediction_shape(self, count: int, places: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Returns `P`; `count` is `O`, and `places` is `S` where a row has places."""
        return (count,) if self.prediction_axes else ()

    def may_be_held_out(self, targets: Tensor) -> Tensor:
        """Returns which rows may be judged on, `[R]` bool."""
        return torch.ones(len(targets), dtype=torch.bool)

    def most_folds(self, targets: Tensor) -> int:
        """Returns into how many folds rows with these targets can be dealt, for each to be scored."""
        return len(targets)

    def scale(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and deviation of the training rows' targets, `[*S]`; 0 and 1 if not scaled."""
        if not self.scaled:
            shape = targets.shape[1:]
            return torch.zeros(shape), torch.ones(shape)
        exact = targets.double()
        mean, std = exact.mean(0), exact.std(0, correction=0)
        return mean.float(), torch.where(std > 0, std, 1.0).float()

    def labels(self, predictions: NDArray[np.float32]) -> NDArray[np.int64]:
        """Returns the predicted class numbers, `[R, *S]`.

        Raises:
            TypeError: There are no classes.
        """
        raise TypeError(f"the kind {self.name} has no classes")


def over_places(losses: Tensor, targets: Tensor) -> Tensor:
    """Returns a value for each row, `[B]`, whose mean is the mean over all places that have a class.

    Args:
        losses: At each place, `[B, *S]`.
        targets: `[B, *S]`, `NOTHING` where there is none.
    """
    if losses.dim() == 1:
        return losses
    there = targets != NOTHING
    total = (losses * there).flatten(1).sum(1)
    return total * (len(losses) / there.sum().clamp_min(1))
