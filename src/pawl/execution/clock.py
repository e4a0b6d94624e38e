"""The campaign's clock: what is left of a budget, and when work in flight must be given up."""

from __future__ import annotations

import time

from pawl import budget as budgets
from pawl.errors import BudgetError, kept
from pawl.execution.spending import waiting
from pawl.ledger import Ledger

_LONGEST_BEAT = 1.0


class OutOfTime(Exception):  # noqa: N818  (ends a unit, not a program)
    """The seconds that the campaign's end needs would be touched."""


class Clock:
    """Seconds of a campaign, as its ledger counts them over all sessions.

    Args:
        ledger: The campaign's.
        budget: Seconds from start to finished report; `None` when a campaign is counted in trials, and
            no clock decides anything.

    Attributes:
        reserve: Seconds to leave for what follows the last training: test, export and report.
        aside: Seconds that count as gone, since they are kept for something behind all of that.
        floor: Where fewer seconds are left than these, work in flight is given up; `None` for never.
        export_seconds: Of the processor, that exporting one model takes; set by the campaign.
        overrun: Seconds beyond the budget, as heartbeats count them.
    """

    def __init__(self, ledger: Ledger, budget: float | None = None) -> None:
        self._ledger = ledger
        self.budget = budget
        self.reserve = 0.0
        self.aside = 0.0
        self.floor: float | None = None
        self.export_seconds = 1.0
        self.overrun = 0.0
        self._beat = time.monotonic()
        self._begun = time.monotonic(), waiting()

    @property
    def timed(self) -> bool:
        """Whether clocks may decide anything."""
        return self.budget is not None

    @property
    def left(self) -> float | None:
        """Seconds left of the budget, less those that are set aside."""
        return None if self.budget is None else self.budget - self._ledger.elapsed - self.aside

    @property
    def slowdown(self) -> float:
        """How much longer work has taken so far by the clock than by the processor; 1 if not known."""
        begun, waited = self._begun
        seconds = time.monotonic() - begun
        waited = waiting() - waited
        return max(1.0, seconds / max(seconds - waited, 0.05 * seconds)) if seconds > 0 else 1.0

    @property
    def hangs(self) -> bool:
        """Whether the budget is over for so long that something must hang."""
        return self.budget is not None and self.overrun > budgets.grace(self.budget)

    def beat(self) -> None:
        """Told now and then that work goes on.

        Raises:
            OutOfTime: Fewer seconds are left than `floor`.
            BudgetError: The budget is over for so long that a worker must hang.
        """
        left, now = self.left, time.monotonic()
        if left is not None and left + self.aside < 0:
            # A process may have been stopped (Ctrl-Z).
            self.overrun += min(now - self._beat, _LONGEST_BEAT)
            if self.hangs:
                assert self.budget is not None
                raise BudgetError(f"{budgets.hangs(self.budget)}; {kept(self._ledger.folder)}")
        self._beat = now
        if left is not None and self.floor is not None and left < self.floor:
            raise OutOfTime
