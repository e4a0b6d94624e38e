"""Successive halving over a population, with places refilled.

All members of a generation have one structure. When a member reaches a rung it is compared with all
of its generation that reached that rung so far; if it is not among the best share it is pruned, and
the next configuration takes its place. Structures are not compared at rungs: a schedule that warms up
looks worse early on, and so does a larger model. Reference: Li et al., "A System for Massively
Parallel Hyperparameter Tuning" (ASHA), 2020.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from pawl.execution import Heartbeat, Plan
from pawl.search.space import Params
from pawl.training.population import Member, Population
from pawl.training.problem import Problem
from pawl.training.run import Outcome, Run, Status

REDUCTION = 3
"""Of the members that reach a rung, one in this many goes on."""


@dataclass
class Rungs:
    """Scores seen at each rung, over one generation.

    Attributes:
        shares: At which share of a trial's epochs members are judged.
        seen: Scores by rung, larger is better.
    """

    shares: tuple[float, ...] = (1 / 9, 1 / 3)
    seen: dict[int, list[float]] = field(default_factory=dict)

    def due(self, before: float, after: float) -> int | None:
        """Returns the rung that a member passes between two shares of its trial, or `None`."""
        passed = [i for i, share in enumerate(self.shares) if before < share <= after + 1e-9]
        return passed[-1] if passed else None

    def add(self, rung: int, score: float) -> None:
        """Notes a score at a rung."""
        self.seen.setdefault(rung, []).append(score)

    def goes_on(self, rung: int, score: float) -> bool:
        """Tells whether a score is among the best share of those seen at the rung."""
        seen = sorted(self.seen[rung], reverse=True)
        return score >= seen[max(0, math.ceil(len(seen) / REDUCTION) - 1)]


@dataclass(frozen=True, eq=False)
class Searched:
    """A configuration and how it ended; `rungs` are its scores at the rungs it reached."""

    params: Params
    outcome: Outcome
    rungs: dict[int, float]


def run_generation(
    problem: Problem,
    plan: Plan,
    members: Iterator[tuple[Params, Member]],
    width: int,
    *,
    heartbeat: Heartbeat,
) -> list[Searched]:
    """Trains configurations of one structure until the iterator is empty and all have ended.

    The next configurations are drawn while the population trains.

    Args:
        problem: The task.
        plan: How to train.
        members: Configurations in the order in which they get a place.
        width: Places.
        heartbeat: Called every few steps; when it raises `StopIteration`, members still in
            training end as pruned. Those not evaluated even once are left out of the result.
    """
    rungs = Rungs()
    first = list(itertools.islice(members, width))
    run = _start(problem, plan, first)
    params = [point for point, _ in first]
    reached: list[dict[int, float]] = [{} for _ in first]
    done: list[Searched] = []
    with ThreadPoolExecutor(1) as pool:
        upcoming = _ask(pool, members, width)
        while len(run.population):
            try:
                evaluated = run.segment(heartbeat)
            except StopIteration:
                begun = [i for i, curve in enumerate(run.curves) if curve]
                done += _release(run, params, reached, dict.fromkeys(begun, "pruned"))
                break
            leaving = run.finished()
            scores = run.scores()
            at_rung = {
                i: rung
                for i in evaluated
                if i not in leaving and (rung := rungs.due(*_shares(run, i))) is not None
            }
            for i, rung in at_rung.items():
                rungs.add(rung, scores[i])
                reached[i][rung] = scores[i]
            for i, rung in at_rung.items():
                if not rungs.goes_on(rung, scores[i]):
                    leaving[i] = "pruned"
            if not leaving:
                continue
            done += _release(run, params, reached, leaving)
            params = [p for i, p in enumerate(params) if i not in leaving]
            reached = [r for i, r in enumerate(reached) if i not in leaving]
            fresh = upcoming.result()[: len(leaving)]
            rest = upcoming.result()[len(leaving) :]
            upcoming = _ask(pool, members, width, rest)
            if fresh and len(run.population):
                run.admit([member for _, member in fresh])
            elif fresh:
                run = _start(problem, plan, fresh)
            params += [point for point, _ in fresh]
            reached += [{} for _ in fresh]
    return done


def _start(problem: Problem, plan: Plan, pairs: Sequence[tuple[Params, Member]]) -> Run:
    return Run(Population(problem, [m for _, m in pairs], plan.stepper(len(pairs))))


def _shares(run: Run, member: int) -> tuple[float, float]:
    """Returns which shares of its trial a member had done at its last two evaluations."""
    total, curve = int(run.population.total[member]), run.curves[member]
    before = curve[-2].step if len(curve) > 1 else 0
    return before / total, curve[-1].step / total


def _ask(
    pool: ThreadPoolExecutor,
    members: Iterator[tuple[Params, Member]],
    width: int,
    kept: Sequence[tuple[Params, Member]] = (),
) -> Future[list[tuple[Params, Member]]]:
    """Draws configurations in the background until there are `width`."""

    def draw() -> list[tuple[Params, Member]]:
        drawn = list(kept)
        while len(drawn) < width and (pair := next(members, None)) is not None:
            drawn.append(pair)
        return drawn

    return pool.submit(draw)


def _release(
    run: Run,
    params: Sequence[Params],
    reached: Sequence[dict[int, float]],
    which: dict[int, Status],
) -> list[Searched]:
    outcomes = run.release(which)
    return [
        Searched(params[i], outcome, reached[i])
        for i, outcome in zip(sorted(which), outcomes, strict=True)
    ]
