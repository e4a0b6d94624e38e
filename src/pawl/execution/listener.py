"""Who is told how a campaign goes on."""

from __future__ import annotations

import os
import time
from typing import Protocol

from pawl.ledger import Ledger, Progress, started_of, write_progress

_WRITE_SECONDS = 1.0


class Listener(Protocol):
    """Told how a campaign goes on; all methods may be called often."""

    def phase(self, name: str, detail: str) -> None:
        """A phase has begun."""

    def progress(self, *, trials: int, best: float | None, left: float | None) -> None:
        """Trainings so far, best validation score, seconds left (`None` without a budget)."""


class Silent:
    """A listener that says nothing."""

    def phase(self, name: str, detail: str) -> None:
        """Does nothing."""

    def progress(self, *, trials: int, best: float | None, left: float | None) -> None:
        """Does nothing."""


class Published:
    """A listener that also leaves beside the ledger how far the campaign is, for those who watch.

    At every phase, and about once a second while work goes on.

    Args:
        listener: Who else is told.
        ledger: The campaign's.
        metric: What scores are.
        direction: `maximize` or `minimize`.
    """

    def __init__(self, listener: Listener, ledger: Ledger, metric: str, direction: str) -> None:
        self._listener, self._ledger = listener, ledger
        self._metric, self._direction = metric, direction
        self._process = os.getpid(), started_of(os.getpid())
        self._phase = "", ""
        self._state: tuple[int, float | None, float | None] = (0, None, None)
        self._written = 0.0

    def phase(self, name: str, detail: str) -> None:
        """A phase has begun."""
        self._phase = name, detail
        self._write()
        self._listener.phase(name, detail)

    def progress(self, *, trials: int, best: float | None, left: float | None) -> None:
        """Work has gone on."""
        self._state = trials, best, left
        if time.monotonic() - self._written > _WRITE_SECONDS:
            self._write()
        self._listener.progress(trials=trials, best=best, left=left)

    def _write(self) -> None:
        self._written = time.monotonic()
        (phase, detail), (trained, best, left) = self._phase, self._state
        (pid, started), elapsed = self._process, self._ledger.elapsed
        written = Progress(
            phase=phase, detail=detail, trained=trained, best=best, elapsed=elapsed, left=left,
            metric=self._metric, direction=self._direction, pid=pid, started=started,
            unix_time=time.time(),
        )  # fmt: skip
        write_progress(self._ledger.folder, written)
