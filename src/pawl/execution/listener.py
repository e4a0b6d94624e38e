"""Who is told how a campaign goes on."""

from __future__ import annotations

from typing import Protocol


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
