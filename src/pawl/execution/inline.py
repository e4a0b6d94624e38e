"""Trains members in this process: packed by structure, in populations as wide as planned."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pawl.data.types import Examples
from pawl.errors import TaskError, first_line
from pawl.execution.planner import Plan
from pawl.recipe import Recipe
from pawl.training.metrics import score
from pawl.training.population import Member, Population
from pawl.training.problem import Problem
from pawl.training.run import Outcome, Run

Planner = Callable[[Recipe], Plan]
Heartbeat = Callable[[], None]
"""Called between segments; may raise to stop the work."""


@dataclass(frozen=True, eq=False)
class Job:
    """A member to train, and the rows to judge it by afterwards.

    Attributes:
        member: The member.
        judge: Rows that it is scored on when done, `[R]`, or `None`.
    """

    member: Member
    judge: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """A trained member: how it ended, and its predictions and score on the rows to judge it by.

    Both are `None` without such rows, or when it has no usable weights.
    """

    outcome: Outcome
    predictions: Tensor | None
    score: float | None


def train_all(
    problem: Problem,
    jobs: Sequence[Job],
    planner: Planner,
    *,
    examples: Examples | None = None,
    with_weights: bool = False,
    heartbeat: Heartbeat = lambda: None,
) -> list[Result]:
    """Trains every job to its end and returns the results in the order of the jobs.

    Members of one structure train together; a population that runs out of memory is tried again at
    half its width, and what raises becomes an outcome of status `failed`.

    Args:
        problem: The task.
        jobs: What to train.
        planner: Chooses mode and width for a structure.
        examples: Where `Job.judge` points into; the development rows by default.
        with_weights: Keep weights in the outcomes.
        heartbeat: Called between segments; what it raises ends the work and is passed on.
    """

    def beat() -> None:
        try:
            heartbeat()
        except Exception as error:
            raise _Stop(error) from error

    results: dict[int, Result] = {}
    packs: dict[tuple[str, int], list[int]] = {}
    for index, job in enumerate(jobs):
        packs.setdefault((job.member.recipe.structure, len(job.member.train)), []).append(index)
    for indices in packs.values():
        chosen = planner(jobs[indices[0]].member.recipe)
        waiting, width = list(indices), chosen.width
        while waiting:
            pack, waiting = waiting[:width], waiting[width:]
            try:
                done = _train_pack(
                    problem, [jobs[i] for i in pack], chosen, examples or problem.examples,
                    with_weights, beat,
                )  # fmt: skip
            except (MemoryError, torch.OutOfMemoryError):
                if len(pack) == 1:
                    done = [_failed(jobs[pack[0]], "out of memory")]
                else:
                    width = max(1, len(pack) // 2)
                    waiting = pack + waiting
                    continue
            except _Stop as stop:
                raise stop.reason from None
            except TaskError:
                raise
            except Exception as error:  # the user's model or a technique raised
                if len(pack) > 1:
                    width, waiting = 1, pack + waiting
                    continue
                done = [_failed(jobs[pack[0]], f"{type(error).__name__}: {first_line(error)}")]
            results.update(zip(pack, done, strict=True))
    return [results[i] for i in range(len(jobs))]


class _Stop(BaseException):
    """Carries what a heartbeat raised past the handlers of what trials raise."""

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self.reason = reason


def _train_pack(
    problem: Problem,
    jobs: Sequence[Job],
    chosen: Plan,
    examples: Examples,
    with_weights: bool,
    heartbeat: Heartbeat,
) -> list[Result]:
    run = Run(Population(problem, [job.member for job in jobs], chosen.stepper()))
    places = list(range(len(jobs)))
    results: dict[int, Result] = {}
    while places:
        run.segment(heartbeat)
        finished = run.finished()
        if not finished:
            continue
        order = sorted(finished)
        judged = _judge(problem, run, [jobs[places[i]] for i in order], order, examples)
        outcomes = run.release(finished, with_weights=with_weights)
        for i, outcome, predictions in zip(order, outcomes, judged, strict=True):
            results[places[i]] = _result(problem, jobs[places[i]], outcome, predictions, examples)
        places = [place for i, place in enumerate(places) if i not in finished]
    return [results[i] for i in range(len(jobs))]


def _judge(
    problem: Problem, run: Run, jobs: Sequence[Job], members: Sequence[int], examples: Examples
) -> list[Tensor | None]:
    """Returns the finished members' predictions on their rows."""
    judged: list[Tensor | None] = [None] * len(jobs)
    places = {i: job.judge for i, job in enumerate(jobs) if job.judge is not None}
    for size in {len(rows) for rows in places.values()}:
        group = {i: rows for i, rows in places.items() if len(rows) == size}
        stacked = torch.stack(list(group.values()))
        predicted = run.predict(examples, stacked, [members[i] for i in group]).cpu()
        for i, one in zip(group, predicted, strict=True):
            judged[i] = one
    return judged


def _result(
    problem: Problem, job: Job, outcome: Outcome, predictions: Tensor | None, examples: Examples
) -> Result:
    usable = outcome.status in ("completed", "stopped")
    if predictions is None or job.judge is None or not usable:
        return Result(outcome, None, None)
    assert examples.targets is not None
    targets = examples.targets[job.judge.to(examples.targets.device)].cpu()
    value = float(score(problem.objective, predictions, targets))
    return Result(outcome, predictions, value if math.isfinite(value) else None)


def _failed(job: Job, reason: str) -> Result:
    outcome = Outcome(
        member=job.member,
        status="failed",
        score=None,
        steps=0,
        curve=(),
        seconds=0.0,
        reason=reason,
    )
    return Result(outcome, None, None)
