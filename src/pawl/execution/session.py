"""What the phases of a campaign share: problem, ledger, clock, rows, trainer, and who is told."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pawl.execution.clock import Clock, OutOfTime
from pawl.execution.listener import Listener, Published, Silent
from pawl.execution.rows import Rows
from pawl.execution.spending import Timekeeper
from pawl.execution.trainer import Trainer
from pawl.ledger import Ledger, TrialRecord, Unit
from pawl.options import ExecutorName
from pawl.techniques import Facts
from pawl.training.problem import Problem


class Session:
    """One run of a campaign's driver.

    Args:
        problem: The task.
        ledger: The campaign's record.
        seed: The campaign's seed.
        budget: Seconds from start to finished report; `None` when counted in trials.
        listener: Told how it goes on.
        epochs: Length of a full trial; set by the campaign.
        executor: Where members may train; see `plan`.

    Attributes:
        rows: Which rows search, choose and prove.
        clock: What is left of the budget.
        trainer: Trains members.
        longest: Most epochs of a trial, as the user wants it; by the rows if `None`.
        test_rows: How many there are, set by the campaign.
        trained: Trainings done in this campaign so far.
        best: Best validation score so far.
        timekeeper: Notes what phases take.
    """

    def __init__(
        self,
        problem: Problem,
        ledger: Ledger,
        seed: int,
        budget: float | None = None,
        listener: Listener | None = None,
        *,
        epochs: int = 1,
        executor: ExecutorName = "auto",
    ) -> None:
        self.problem = problem
        self.ledger = ledger
        self.rows = Rows(problem, seed)
        self.clock = Clock(ledger, budget)
        self.trainer = Trainer(self.rows, ledger, self.clock, self.heartbeat, executor)
        self.listener: Listener
        objective = problem.objective
        told = Published(listener or Silent(), ledger, objective.metric, objective.direction)
        self.listener = self.timekeeper = Timekeeper(told, ledger.elapsed)
        self.longest: int | None = None
        self.test_rows = 0
        self.trained = 0
        self.best: float | None = None
        self.epochs = epochs

    @property
    def epochs(self) -> int:
        """Length of a full trial."""
        return self.trainer.epochs

    @epochs.setter
    def epochs(self, epochs: int) -> None:
        self.trainer.epochs = epochs

    def take_few(self, most: int) -> None:
        """From now on a training takes so many rows at most, and so do choices and claims."""
        self.rows = self.trainer.rows = replace(self.rows, most=most)

    @functools.cached_property
    def facts(self) -> Facts:
        """What techniques may know of the task."""
        return self.problem.facts()

    def attempt(
        self,
        key: str,
        phase: str,
        work: Callable[[], tuple[dict[str, Any], Sequence[TrialRecord]]],
    ) -> Unit | None:
        """Returns a unit of the ledger, or `None` if the time for it ran out in its middle.

        What is planned by timings may take longer: a machine can turn busy at any moment. A unit that
        was given up is on record, and stays given up when the campaign is resumed.
        """
        given_up = f"{key}/given up"
        if not self.ledger.decided(given_up):
            try:
                return self.ledger.compute(key, phase, work)
            except OutOfTime:
                self.ledger.decide(given_up, lambda: True)
        return None

    def cut_short(self, key: str) -> bool:
        """Tells whether a unit is not begun any more, as the campaign was asked to end."""
        begun = self.ledger.unit(key) is not None or self.ledger.decided(f"{key}/given up")
        return not begun and self.clock.stopped

    def heartbeat(self) -> None:
        """Looks at the clock, and tells the listener how it goes; see `Clock.beat`."""
        self.clock.beat()
        self._tell()

    def _tell(self) -> None:
        self.listener.progress(trials=self.trained, best=self.best, left=self.clock.left)

    def note(self, trials: Sequence[TrialRecord]) -> None:
        """Counts finished trials."""
        self.trained += len(trials)
        sign = self.problem.objective.sign
        for trial in trials:
            if trial.phase != "search" or trial.score is None or trial.status == "pruned":
                continue
            if self.best is None or sign * trial.score > sign * self.best:
                self.best = trial.score
        self._tell()
