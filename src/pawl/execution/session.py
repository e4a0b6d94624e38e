"""What the phases of a campaign share: the problem, the ledger, the clock, splits and plans."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pawl import budget as budgets
from pawl import rng
from pawl.data import fold_rows, split_rows
from pawl.data.types import Examples
from pawl.errors import BudgetError, kept
from pawl.execution.devices import places
from pawl.execution.executors import Asking, Desk, Lost, Work, executor_with
from pawl.execution.listener import Listener, Silent
from pawl.execution.measuring import compile_ahead
from pawl.execution.packing import Job, Result, executor_of, train_all
from pawl.execution.planner import Plan, plan
from pawl.execution.spending import Timekeeper, waiting
from pawl.kinds import KINDS
from pawl.ledger import Ledger, TrialRecord, Unit
from pawl.options import ExecutorName
from pawl.recipe import Recipe
from pawl.techniques import Facts
from pawl.training.population import Member
from pawl.training.problem import Problem
from pawl.training.program import Program
from pawl.training.run import Outcome

SELECTION_SHARE = 0.4
"""Share of the development rows that choices are judged on; half of it validates the search."""
FOLDS = 5
"""Folds of a cross-validation, where there are rows enough."""
STOPPING_SHARE = 0.15
"""Share of the training rows of a fold that is kept for early stopping."""
_STRUCTURE_SHARE = 0.08
_LONGEST_BEAT = 1.0
_SLOWER = 3.0
"""Times of what a step took when it was timed; evaluations, which were not, are part of it."""


class OutOfTime(Exception):  # noqa: N818  (ends a unit, not a program)
    """The seconds that the campaign's end needs would be touched."""


@dataclass(frozen=True)
class Resplit:
    """One split of the development rows, indices into them.

    Attributes:
        train: Rows to train on.
        valid: Rows for early stopping.
        holdout: Rows to judge on: one fold.
    """

    train: Tensor
    valid: Tensor
    holdout: Tensor


@dataclass
class Session:
    """One run of a campaign's driver.

    Attributes:
        problem: The task.
        ledger: The campaign's record.
        seed: The campaign's seed.
        budget: Seconds from start to finished report; `None` when counted in trials.
        listener: Told how it goes on.
        epochs: Length of a full trial; set by the campaign.
        longest: Most epochs of a trial, as the user wants it; by the rows if `None`.
        reserve: Seconds to leave for what follows the last training: test, export and report.
        floor: Where fewer seconds are left than these, work in flight is given up; see `attempt`.
        trained: Trainings done in this campaign so far.
        best: Best validation score so far.
        executor: Where members may train; see `plan`.
        export_seconds: Of the processor, that exporting one model takes; set by the campaign.
        overrun: Seconds beyond the budget, as heartbeats count them.
    """

    problem: Problem
    ledger: Ledger
    seed: int
    budget: float | None = None
    listener: Listener = field(default_factory=Silent)
    epochs: int = 1
    longest: int | None = None
    reserve: float = 0.0
    floor: float | None = None
    trained: int = 0
    best: float | None = None
    executor: ExecutorName = "auto"
    export_seconds: float = 1.0
    overrun: float = 0.0
    _beat: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.listener = self.clock = Timekeeper(self.listener, self.ledger.elapsed)
        self._begun = time.monotonic(), waiting()

    @functools.cached_property
    def facts(self) -> Facts:
        """What techniques may know of the task."""
        return self.problem.facts()

    @property
    def timed(self) -> bool:
        """Whether clocks may decide anything."""
        return self.budget is not None

    @property
    def left(self) -> float | None:
        """Seconds left of the budget."""
        return None if self.budget is None else self.budget - self.ledger.elapsed

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

    def derive(self, *parts: int | str) -> int:
        """Returns a seed for a purpose of this campaign."""
        return rng.derive_seed(self.seed, *parts)

    @functools.cached_property
    def parts(self) -> tuple[Tensor, Tensor]:
        """Rows that choices are judged on, and rows that claims are; both train elsewhere."""
        proof, selection = split_rows(
            self.problem.targets, self.problem.schema.kind, SELECTION_SHARE, self.derive("parts")
        )
        return selection, proof

    @functools.cached_property
    def search_rows(self) -> tuple[Tensor, Tensor]:
        """Training and validation rows of the search."""
        selection, proof = self.parts
        if len(selection) == 1:
            return proof, selection
        targets, kind = self.problem.targets, self.problem.schema.kind
        rest, valid = split_rows(targets, kind, 0.5, self.derive("search"), rows=selection)
        return torch.cat([rest, proof]).sort().values, valid

    def num_folds(self, rows: Tensor, most: int = FOLDS) -> int:
        """Returns how many folds these rows are dealt into, so that each can be scored."""
        limit = KINDS[self.problem.schema.kind].most_folds(self.problem.targets[rows])
        return min(len(rows), most, max(2, limit))

    def resplit(self, purpose: str, index: int, rows: Tensor, folds: int) -> Resplit:
        """Returns the split of a pair of a purpose.

        Repeated cross-validation: pairs in a row hold out one fold each of `rows` until all were held
        out, then the rows are dealt anew. Everything else trains.
        """
        kind, targets = self.problem.schema.kind, self.problem.targets
        repeat, fold = divmod(index, folds)
        seed = self.derive(purpose, "folds", repeat)
        dealt = fold_rows(targets, kind, folds, seed, rows=rows)
        holdout = dealt[fold % len(dealt)]
        others = torch.ones(len(targets), dtype=torch.bool)
        others[holdout] = False
        train, valid = split_rows(
            targets, kind, STOPPING_SHARE, self.derive(purpose, "stopping", index),
            rows=others.nonzero().flatten(),
        )  # fmt: skip
        return Resplit(train, valid, holdout)

    def member(
        self, recipe: Recipe, seed: int, train: Tensor, stopping: Tensor, epochs: int
    ) -> Member:
        """Returns a member that is judged on other rows than these.

        The rows for early stopping train it, too, where nothing in its recipe looks at them.
        """
        if not Program.of(recipe).stop:
            train, stopping = torch.cat([train, stopping]).sort().values, stopping[:0]
        return Member(recipe, seed, train, stopping, epochs)

    def plan(self, recipe: Recipe) -> Plan:
        """Returns how to train a structure: as decided in this campaign, the last time if anew."""
        key, times = self._planned(recipe)
        return Plan.from_dict(
            self.ledger.decide(f"{key}/{max(0, times - 1)}", lambda: self._plan(recipe, anew=False))
        )

    def _planned(self, recipe: Recipe) -> tuple[str, int]:
        """Returns the key of a structure's plans, and how many there are."""
        key = f"plan/{hashlib.sha256(recipe.structure.encode()).hexdigest()[:16]}"
        return key, len(self.ledger.decisions(f"{key}/"))

    def _plan(self, recipe: Recipe, *, anew: bool) -> dict[str, object]:
        train, valid = self.search_rows
        probe = Member(recipe, self.derive("probe"), train, valid, self.epochs)
        left = 0.0 if self.left is None else _STRUCTURE_SHARE * self.left
        return plan(
            self.problem, recipe, probe, timed=self.timed, ahead=lambda _: left,
            executor=self.executor, anew=anew,
        ).to_dict()  # fmt: skip

    def look_again(self, chosen: Plan, outcomes: Iterable[Outcome]) -> None:
        """Plans structures anew whose steps took several times as long as when they were timed.

        Only ways of several threads are, which neighbors on the same cores can stop; for others there
        is nothing faster to change to.

        Args:
            chosen: How these members were trained.
            outcomes: Members of one structure, and what they took.
        """
        ended = [each for each in outcomes if each.steps]
        if not ended or not chosen.seconds or chosen.way.threads == 1:
            return
        spent = sum(each.seconds for each in ended) / sum(each.steps for each in ended)
        if spent > _SLOWER * chosen.seconds:
            recipe = ended[0].member.recipe
            key, times = self._planned(recipe)
            self.ledger.decide(f"{key}/{times}", lambda: self._plan(recipe, anew=True))

    def run(self, work: Sequence[Work], chosen: Plan, member: Member) -> list[Any]:
        """Runs pieces of work where the plan of the member's structure says.

        Returns:
            Their results in order; `Lost` for a piece whose worker died.
        """
        compile_ahead(self.problem, [member] * chosen.width, chosen.way)
        return executor_of(chosen).run(work, self.heartbeat)

    def confer(self, work: Sequence[Asking], chosen: Plan, member: Member, desk: Desk) -> list[Any]:
        """Runs pieces of work that ask a desk; see `run`."""
        compile_ahead(self.problem, [member] * chosen.width, chosen.way)
        return executor_of(chosen).confer(work, self.heartbeat, desk)

    def spread(self, work: Sequence[Work]) -> list[Any]:
        """Runs pieces of work that train nothing side by side, where processes may be used.

        A piece whose worker died runs again in this process.
        """
        workers = places(self.problem.device, self.executor)[0].workers
        results = executor_with(min(workers, len(work))).run(work, self.heartbeat)
        return [
            piece(self.heartbeat) if isinstance(result, Lost) else result
            for piece, result in zip(work, results, strict=True)
        ]

    def train(self, jobs: Sequence[Job], *, examples: Examples | None = None) -> list[Result]:
        """Trains jobs to their end; see `train_all`."""
        plans: dict[str, Plan] = {}

        def planned(recipe: Recipe) -> Plan:
            if recipe.structure not in plans:
                plans[recipe.structure] = self.plan(recipe)
            return plans[recipe.structure]

        results = train_all(
            self.problem, jobs, planned, examples=examples, heartbeat=self.heartbeat
        )  # fmt: skip
        for structure, chosen in plans.items():
            ended = [result.outcome for result in results]
            self.look_again(chosen, (o for o in ended if o.member.recipe.structure == structure))
        return results

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

    def heartbeat(self) -> None:
        """Tells the listener how it goes.

        Raises:
            OutOfTime: Fewer seconds are left than `floor`.
            BudgetError: The budget is over for so long that a worker must hang.
        """
        left = self.left
        now = time.monotonic()
        if left is not None and left < 0:
            self.overrun += min(
                now - self._beat, _LONGEST_BEAT
            )  # it may have been stopped (Ctrl-Z)
            if self.hangs:
                assert self.budget is not None
                raise BudgetError(f"{budgets.hangs(self.budget)}; {kept(self.ledger.folder)}")
        self._beat = now
        if left is not None and self.floor is not None and left < self.floor:
            raise OutOfTime
        self._tell()

    def _tell(self) -> None:
        self.listener.progress(trials=self.trained, best=self.best, left=self.left)

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
