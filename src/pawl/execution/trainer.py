"""Trains members where their structure is best trained, as planned once for each structure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from pawl.data.types import Examples
from pawl.execution.clock import Clock
from pawl.execution.devices import places
from pawl.execution.executors import Asking, Desk, Heartbeat, Lost, Work, executor_with
from pawl.execution.measuring import compile_ahead
from pawl.execution.packing import Job, Result, executor_of, train_all
from pawl.execution.planner import Plan, plan
from pawl.execution.rows import Rows
from pawl.ledger import Ledger
from pawl.options import ExecutorName
from pawl.recipe import Recipe
from pawl.training.population import Member
from pawl.training.run import Outcome

_STRUCTURE_SHARE = 0.08
_SLOWER = 3.0
"""Times of what a step took when it was timed; evaluations, which were not, are part of it."""


class Trainer:
    """Plans structures and runs work where the plans say.

    Args:
        rows: The campaign's.
        ledger: Plans are decisions in it.
        clock: Where there is no budget nothing is timed.
        heartbeat: Called while work goes on.
        executor: Where members may train; see `plan`.

    Attributes:
        rows: The campaign's; plans are timed on those of its search.
        epochs: Length of the trainings that plans are made for; set by the session.
    """

    def __init__(
        self,
        rows: Rows,
        ledger: Ledger,
        clock: Clock,
        heartbeat: Heartbeat,
        executor: ExecutorName = "auto",
    ) -> None:
        self.rows, self._ledger, self._clock = rows, ledger, clock
        self._heartbeat = heartbeat
        self.problem = rows.problem
        self.executor = executor
        self.epochs = 1
        self._took: dict[str, float] = {}  # seconds of a fit, by structure, as they were last

    def plan(self, recipe: Recipe) -> Plan:
        """Returns how to train a structure: as decided in this campaign, the last time if anew."""
        key, times = self._planned(recipe)
        return Plan.from_dict(
            self._ledger.decide(
                f"{key}/{max(0, times - 1)}", lambda: self._plan(recipe, anew=False)
            )
        )

    def chosen(self, recipe: Recipe) -> Plan | None:
        """Returns how a structure trained in this campaign, as planned last; `None` if it did not."""
        _, times = self._planned(recipe)
        return self.plan(recipe) if times else None

    def _planned(self, recipe: Recipe) -> tuple[str, int]:
        """Returns the key of a structure's plans, and how many there are."""
        key = f"plan/{hashlib.sha256(recipe.structure.encode()).hexdigest()[:16]}"
        return key, len(self._ledger.decisions(f"{key}/"))

    def _plan(self, recipe: Recipe, *, anew: bool) -> dict[str, object]:
        train, valid = self.rows.search
        probe = Member(recipe, self.rows.derive("probe"), train, valid, self.epochs)
        left = 0.0 if self._clock.left is None else _STRUCTURE_SHARE * self._clock.left
        return plan(
            self.problem, recipe, probe, timed=self._clock.timed, training_seconds=lambda _: left,
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
            self._ledger.decide(f"{key}/{times}", lambda: self._plan(recipe, anew=True))

    def run(self, work: Sequence[Work], chosen: Plan, member: Member) -> list[Any]:
        """Runs pieces of work where the plan of the member's structure says.

        Returns:
            Their results in order; `Lost` for a piece whose worker died.
        """
        compile_ahead(self.problem, [member] * chosen.width, chosen.way)
        return executor_of(chosen).run(work, self._heartbeat)

    def confer(self, work: Sequence[Asking], chosen: Plan, member: Member, desk: Desk) -> list[Any]:
        """Runs pieces of work that ask a desk; see `run`."""
        compile_ahead(self.problem, [member] * chosen.width, chosen.way)
        return executor_of(chosen).confer(work, self._heartbeat, desk)

    def spread(self, work: Sequence[Work]) -> list[Any]:
        """Runs pieces of work that train nothing side by side, where processes may be used.

        A piece whose worker died runs again in this process.
        """
        workers = places(self.problem.device, self.executor)[0].workers
        results = executor_with(min(workers, len(work))).run(work, self._heartbeat)
        return [
            piece(self._heartbeat) if isinstance(result, Lost) else result
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
            self.problem, jobs, planned, examples=examples, heartbeat=self._heartbeat,
            expected=lambda recipe: self._took.get(recipe.structure, 0.0),
        )  # fmt: skip
        ended = [result.outcome for result in results]
        for structure, chosen in plans.items():
            self.look_again(chosen, (o for o in ended if o.member.recipe.structure == structure))
        self._took |= {o.member.recipe.structure: o.seconds for o in ended}
        return results
