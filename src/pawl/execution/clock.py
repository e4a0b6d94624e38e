"""The campaign's clock: what is left of a budget, and when work in flight must be given up."""

from __future__ import annotations

import time

from pawl import budget as budgets
from pawl.errors import BudgetError, kept
from pawl.execution.spending import waiting
from pawl.ledger import Ledger, stop_asked

_LONGEST_BEAT = 1.0
_STOPPED = "stopped"


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
        shortest: Seconds that a campaign takes at least to its end when it is asked to stop now; what is
            left is cut to these then. `None` where nothing is cut.
        export_seconds: Of the processor, that exporting one model takes; set by the campaign.
        overrun: Seconds beyond the budget, as heartbeats count them.
    """

    def __init__(self, ledger: Ledger, budget: float | None = None) -> None:
        self._ledger = ledger
        self.budget = budget
        self.reserve = 0.0
        self.aside = 0.0
        self.floor: float | None = None
        self.shortest: float | None = None
        self.export_seconds = 1.0
        self.overrun = 0.0
        self._beat = time.monotonic()
        self._begun = time.monotonic(), waiting()
        self._stop: dict[str, float | None] | None = next(iter(ledger.decisions(_STOPPED)), None)

    @property
    def timed(self) -> bool:
        """Whether clocks may decide anything."""
        return self.budget is not None

    @property
    def left(self) -> float | None:
        """Seconds left of the budget, or of what a request to stop has left, less those set aside."""
        until = self._stop["until"] if self._stop else self.budget
        return None if until is None else until - self._ledger.elapsed - self.aside

    @property
    def stopped(self) -> bool:
        """Whether the campaign was asked to end with what it has; on record as soon as it is seen."""
        if self._stop is None and stop_asked(self._ledger.folder):
            now = self._ledger.elapsed
            until = self.budget
            if until is not None and self.shortest is not None:
                until = min(until, now + self.shortest)
            self._stop = self._ledger.decide(_STOPPED, lambda: {"elapsed": now, "until": until})
        return self._stop is not None

    @property
    def stopped_after(self) -> float | None:
        """Campaign seconds after which it was asked to end; `None` if it was not."""
        return None if self._stop is None else self._stop["elapsed"]

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
