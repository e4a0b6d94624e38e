"""What is kept of a loop's steps: a loss of each, and where their time went."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pawl.diagnosing.record import Times

_CHUNK = 16
Part = Literal["data", "forward", "backward", "update"]


class Curve:
    """Losses by step: of each the sum of those whose gradients it goes by.

    Attributes:
        points: `(step, mean of the losses of a few steps up to it)`.
    """

    def __init__(self) -> None:
        self.points: list[tuple[int, float]] = []
        self._heard: list[Tensor] = []
        self._handed: list[Tensor] = []
        self._waiting: list[tuple[int, Tensor]] = []

    def heard(self, loss: Tensor) -> None:
        """Takes a loss whose gradients were added to those of the step to come."""
        self._heard.append(loss.reshape(()))

    def handed(self, loss: Tensor) -> None:
        """Takes a loss in place of those heard; of several of a step the mean counts."""
        self._handed.append(loss.reshape(()))

    def cleared(self) -> None:
        """Forgets what was heard for the step to come: its gradients are gone."""
        self._heard = []

    def stepped(self, step: int) -> None:
        """Gives what has come in to a step."""
        heard, handed = self._heard, self._handed
        self._heard, self._handed = [], []
        if handed:
            self._waiting.append((step, torch.stack(handed).float().mean()))
        elif heard:
            self._waiting.append((step, sum(heard[1:], heard[0])))

    def flush(self) -> float:
        """Keeps the losses so far as means of a few; returns the mean of those since the last time."""
        waiting, self._waiting = self._waiting, []
        known = _numbers([loss for _, loss in waiting])
        for start in range(0, len(waiting), _CHUNK):
            part = known[start : start + _CHUNK]
            self.points.append((waiting[start + len(part) - 1][0], sum(part) / len(part)))
        return sum(known) / len(known) if known else math.nan


class Clock:
    """Counts the seconds that go by between what a loop does."""

    def __init__(self) -> None:
        self._spent: dict[Part, float] = dict.fromkeys(
            ("data", "forward", "backward", "update"), 0.0
        )
        self._mark = 0.0
        self._waits, self._within = True, False

    def called(self) -> None:
        """The model is called: behind gradients or a step, the time was spent on data."""
        self.spent("update" if self._within else "data" if self._waits else "backward")
        self._waits = False

    def stepping(self) -> None:
        """A step begins, within which a closure may call the model."""
        self.spent("backward")
        self._within = True

    def stepped(self) -> None:
        """It ends."""
        self.spent("update")
        self._within = False

    def spent(self, part: Part) -> None:
        """Counts the time since the last mark as that of a part of a step."""
        now = time.perf_counter()
        self._spent[part] += now - self._mark
        self._mark = now
        self._waits = part in ("backward", "update")

    def elsewhere(self) -> None:
        """Gradients were computed that are none of the model's: that is no wait for data."""
        if self._waits:
            self.skip()
        else:
            self.spent("backward")

    def skip(self) -> None:
        """Counts the time since the last mark for nothing: it was no part of a step."""
        self._mark = time.perf_counter()

    def times(self, steps: int) -> Times | None:
        """Returns the times of a step."""
        if not steps:
            return None
        data, forward, backward, update = (x / steps for x in self._spent.values())
        return Times(steps=steps, data=data, forward=forward, backward=backward, update=update)


def _numbers(losses: Sequence[Tensor]) -> list[float]:
    """Returns losses as numbers, with one wait for a GPU if they are all there."""
    if len({(loss.device, loss.dtype) for loss in losses}) == 1:
        found: list[float] = torch.stack(list(losses)).tolist()
        return found
    return [float(loss) for loss in losses]
