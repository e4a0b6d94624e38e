"""A class or a value at each place of a row: at each step of a sequence, at each pixel of an image.

Shape legend: see `pawl.kinds.kind`; `L` is the length of a sequence, `[H, W]` the size of an image.
A row's places are its target's axes, `S`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pawl.kinds.classes import SURE, OneOf
from pawl.kinds.kind import NOTHING, Kind, over_places
from pawl.kinds.values import Values
from pawl.options import KindName


class ClassAtEachStep(OneOf):
    """One of `C` classes at each step of a sequence, as in language models and tagging.

    Targets `[R, L]` int64 with `NOTHING` where there is none (padding), outputs `[B, L, C]`, predictions
    `[R, L, C]`. A model may know more classes than the targets have.
    """

    target_axes = 1
    prediction_axes = 2
    has_places = True

    def __init__(self) -> None:
        super().__init__(
            "sequence", "a class at each step", "perplexity", "[B, length, {outputs} or more]"
        )

    def outputs(self, raw: Tensor, count: int) -> Tensor | None:
        """Takes `[B, L, C]`."""
        return raw if raw.dim() == 3 and raw.shape[-1] >= count else None

    def loss(self, outputs: Tensor, targets: Tensor, soft: Tensor | None = None) -> Tensor:
        """Cross-entropy, the mean over all places of the batch that have a class."""
        if soft is not None:
            return over_places(-(soft * outputs.log_softmax(-1)).sum(-1), targets)
        losses = F.cross_entropy(
            outputs.flatten(0, -2), targets.flatten(), ignore_index=NOTHING, reduction="none"
        )
        return over_places(losses.view_as(targets), targets)

    def constant(self, targets: Tensor, count: int) -> Tensor:
        """The shares of the classes over all places."""
        known = targets[targets != NOTHING]
        shares = known.bincount(minlength=count).float() / len(known)
        return shares.expand(*targets.shape[1:], count)

    def made_up(self, targets: Tensor, count: int, generator: torch.Generator) -> list[Tensor]:
        """Random ones, and nearly right ones."""
        random = torch.randn(*targets.shape, count, generator=generator).softmax(-1)
        exact = F.one_hot(targets.clamp_min(0), count).to(torch.float32)
        return [random, SURE * exact + (1 - SURE) / count]

    def strata(self, targets: Tensor, size: int) -> NDArray[np.int64]:
        """None: rows are drawn as they come."""
        return np.zeros(len(targets), dtype=np.int64)

    def may_be_held_out(self, targets: Tensor) -> Tensor:
        """All of them."""
        return Kind.may_be_held_out(self, targets)

    def most_folds(self, targets: Tensor) -> int:
        """As many as there are rows."""
        return len(targets)

    def prediction_shape(self, count: int, places: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Returns `[*S, C]`."""
        return (*places, count)


class ClassAtEachPixel(ClassAtEachStep):
    """One of `C` classes at each pixel, as in segmentation.

    Targets `[R, H, W]` int64 with `NOTHING` where there is none, outputs `[B, H, W, C]` (a model returns
    `[B, C, H, W]`), predictions `[R, H, W, C]`.
    """

    target_axes = 2
    prediction_axes = 3

    def __init__(self) -> None:
        OneOf.__init__(
            self, "dense", "a class at each pixel", "mean_iou",
            "[B, {outputs}, height, width] or, for one logit of two classes, [B, 1, height, width]",
        )  # fmt: skip

    def outputs(self, raw: Tensor, count: int) -> Tensor | None:
        """Takes `[B, C, H, W]`; of two classes also one logit, for the second: `[B, 1, H, W]`."""
        if raw.dim() != 4:
            return None
        if count == 2 and raw.shape[1] == 1:
            raw = torch.cat([torch.zeros_like(raw), raw], dim=1)
        return raw.movedim(1, -1) if raw.shape[1] >= count else None


class ValueAtEachPixel(Values):
    """A value at each pixel: depth, density, a cleaned image.

    Targets, outputs and predictions `[R, H, W]`; a model may return `[B, 1, H, W]`. All pixels are
    learned in units of one deviation.
    """

    name: KindName = "dense_regression"
    phrase = "a value at each pixel"
    target_axes = 2
    prediction_axes = 2
    has_places = True
    shapes = "[B, height, width] or [B, 1, height, width]"

    def outputs(self, raw: Tensor, count: int) -> Tensor | None:
        """Takes `[B, H, W]` and `[B, 1, H, W]`."""
        if raw.dim() == 4 and raw.shape[1] == 1:
            raw = raw.squeeze(1)
        return raw if raw.dim() == 3 else None

    def constant(self, targets: Tensor, count: int) -> Tensor:
        """The mean over all pixels."""
        return targets.double().mean().float().expand(targets.shape[1:])

    def scale(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns one mean and one deviation, `[1, 1]`."""
        mean, std = super().scale(targets.reshape(-1, 1, 1))
        return mean, std

    def prediction_shape(self, count: int, places: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Returns `S`."""
        return places

    def _position(self, targets: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean over a row's pixels."""
        mean: NDArray[np.float32] = targets.mean((1, 2))
        return mean
