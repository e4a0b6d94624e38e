"""Trains members to their end: packed by structure into the fewest populations."""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pawl.data.types import Examples
from pawl.errors import TaskError
from pawl.execution.executors import Executor, Heartbeat, Lost, executor_with
from pawl.execution.measuring import compile_ahead
from pawl.execution.outcomes import failed, out_of_memory, reason_of, shared
from pawl.execution.planner import Plan
from pawl.recipe import Recipe
from pawl.training.fits import fit_member
from pawl.training.metrics import score
from pawl.training.population import Member, Population
from pawl.training.problem import Problem
from pawl.training.run import Outcome, Run

Planner = Callable[[Recipe], Plan]
Expected = Callable[[Recipe], float]


@dataclass(frozen=True, eq=False)
class Job:
    """A member to train, and the rows to judge it by afterwards.

    Attributes:
        member: The member.
        judge: Rows that it is scored on when done, `[R]`, or `None`.
        keep: Whether its outcome is to have its weights.
        seconds: How long a fit in one go may take; what takes longer is pruned. `None` for no limit.
    """

    member: Member
    judge: Tensor | None = None
    keep: bool = False
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """A trained member: how it ended, and its predictions and score on the rows to judge it by.

    Both are `None` without such rows, or when it has no usable weights.
    """

    outcome: Outcome
    predictions: Tensor | None
    score: float | None


@dataclass(frozen=True)
class _Pack:
    """Jobs of one structure that one worker trains, at most `plan.width` at a time."""

    indices: tuple[int, ...]
    plan: Plan


@dataclass(frozen=True)
class _Refused:
    """Why a pack could not be trained; narrower packs may fare better."""

    reason: str
    memory: bool = False


def train_all(
    problem: Problem,
    jobs: Sequence[Job],
    planner: Planner,
    *,
    examples: Examples | None = None,
    heartbeat: Heartbeat = lambda: None,
    expected: Expected = lambda _: 0.0,
) -> list[Result]:
    """Trains every job to its end and returns the results in the order of the jobs.

    Members of one structure train together, and the next takes the place of one that has ended. A
    pack that runs out of memory, or whose worker dies, is tried again at half its width; one that
    raises, member by member; what fails alone becomes an outcome of status `failed`.

    Args:
        problem: The task.
        jobs: What to train.
        planner: Chooses mode, width and workers for a structure.
        examples: Where `Job.judge` points into; the development rows by default.
        heartbeat: Called every now and then; what it raises ends the work and is passed on.
        expected: Tells about how long a fit in one go takes; the longest are begun first.
    """
    results: dict[int, Result] = {}
    waiting = _packs(jobs, planner, expected)
    while waiting:
        again: list[_Pack] = []
        for workers in sorted({pack.plan.workers for pack in waiting}):
            group = [pack for pack in waiting if pack.plan.workers == workers]
            for pack in group:
                member = jobs[pack.indices[0]].member
                compile_ahead(problem, [member] * pack.plan.width, pack.plan.way)
                import_ahead(member.recipe)
            work = [
                functools.partial(
                    _attempt, problem, [jobs[i] for i in pack.indices], pack.plan,
                    examples or problem.examples,
                )
                for pack in group
            ]  # fmt: skip
            for pack, done in zip(
                group, executor_of(group[0].plan).run(work, heartbeat), strict=True
            ):
                if isinstance(done, list):
                    for index, result in zip(pack.indices, done, strict=True):
                        # From a worker it comes with a copy of the member.
                        own = replace(result.outcome, member=jobs[index].member)
                        results[index] = replace(result, outcome=shared(own, workers))
                    continue
                refused = _Refused(done.reason, memory=True) if isinstance(done, Lost) else done
                if len(pack.indices) == 1:
                    index = pack.indices[0]
                    results[index] = Result(failed(jobs[index].member, refused.reason), None, None)
                else:
                    again += _narrower(pack, refused)
        waiting = again
    return [results[i] for i in range(len(jobs))]


def import_ahead(recipe: Recipe) -> None:
    """Imports what the recipe's learner will, for this process and the workers it forks."""
    for name in recipe.learner.imports if recipe.learner else ():
        with contextlib.suppress(ImportError):  # the fit will say so
            importlib.import_module(name)


def executor_of(plan: Plan) -> Executor:
    """Returns what runs a plan's pieces of work."""
    way = plan.way
    return executor_with(way.workers, way.threads, adapts=plan.timed and not way.compiled)


def _packs(
    jobs: Sequence[Job], planner: Planner, expected: Expected = lambda _: 0.0
) -> list[_Pack]:
    """Returns what each worker trains in one go, the longest first.

    A step of a population costs something whatever its width, so one population per structure is least
    work. Structures are split between the workers only where there are too few to keep all busy, or
    where members train one by one anyway. What fits in one go comes last, each fit by itself, so that
    workers end at about the same time.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, job in enumerate(jobs):
        one = job.member
        # Members of fewer rows than a batch take smaller steps, which do not fuse with others'.
        rows = min(one.recipe.batch_size, len(one.train))
        groups.setdefault((one.recipe.structure, rows, len(one.valid) > 0), []).append(index)
    recipes = {group[0]: jobs[group[0]].member.recipe for group in groups.values()}
    planned = [_Pack(tuple(g), planner(recipes[g[0]])) for g in groups.values()]
    fits = [pack for pack in planned if recipes[pack.indices[0]].learner]
    fits.sort(key=lambda pack: -expected(recipes[pack.indices[0]]))
    planned = [pack for pack in planned if not recipes[pack.indices[0]].learner]
    work = {pack: sum(jobs[i].member.epochs for i in pack.indices) for pack in planned}
    planned.sort(key=lambda pack: -work[pack])
    fused = [pack for pack in planned if pack.plan.way.mode == "fused"]
    whole: set[_Pack] = set()
    for workers in {pack.plan.workers for pack in fused}:
        same = [pack for pack in fused if pack.plan.workers == workers]
        whole.update(same[: len(same) // workers * workers])
    packs = [pack for pack in planned if pack in whole]
    for pack in planned:
        if pack not in whole:
            # Interleaved, so that every worker gets as many of each arm and of each length.
            shares = [pack.indices[i :: pack.plan.workers] for i in range(pack.plan.workers)]
            packs += [_Pack(share, pack.plan) for share in shares if share]
    return [*packs, *(_Pack((index,), pack.plan) for pack in fits for index in pack.indices)]


def _narrower(pack: _Pack, refused: _Refused) -> list[_Pack]:
    """Returns what to try in place of a pack that was refused."""
    width = min(pack.plan.width, len(pack.indices))
    if refused.memory and width > 1:
        return [replace(pack, plan=pack.plan.narrowed(width // 2))]
    return [_Pack((index,), pack.plan) for index in pack.indices]


def _attempt(
    problem: Problem,
    jobs: Sequence[Job],
    plan: Plan,
    examples: Examples,
    heartbeat: Heartbeat,
) -> list[Result] | _Refused:
    try:
        if jobs[0].member.recipe.learner:
            return [_fitted(problem, job, examples, heartbeat) for job in jobs]
        return _train_pack(problem, jobs, plan, examples, heartbeat)
    except TaskError:
        raise
    except Exception as error:  # the user's model or a technique raised
        return _Refused(reason_of(error), memory=out_of_memory(error))


def _train_pack(
    problem: Problem,
    jobs: Sequence[Job],
    plan: Plan,
    examples: Examples,
    heartbeat: Heartbeat,
) -> list[Result]:
    waiting = iter(range(len(jobs)))
    places = list(itertools.islice(waiting, plan.width))
    members = [jobs[i].member for i in places]
    run = Run(Population(problem, members, plan.stepper(len(members))))
    results: dict[int, Result] = {}
    while places:
        run.segment(heartbeat)
        finished = run.finished()
        if not finished:
            continue
        order = sorted(finished)
        judged = _judge(problem, run, [jobs[places[i]] for i in order], order, examples)
        kept = {i for i in order if jobs[places[i]].keep}
        outcomes = run.release(finished, with_weights=kept)
        for i, outcome, predictions in zip(order, outcomes, judged, strict=True):
            results[places[i]] = _result(problem, jobs[places[i]], outcome, predictions, examples)
        places = [place for i, place in enumerate(places) if i not in finished]
        fresh = list(itertools.islice(waiting, len(finished)))
        if fresh:
            run.admit([jobs[i].member for i in fresh])
            places += fresh
    return [results[i] for i in range(len(jobs))]


def _fitted(problem: Problem, job: Job, examples: Examples, heartbeat: Heartbeat) -> Result:
    """Trains a job whose recipe fits in one go."""
    started = time.monotonic()

    def beat() -> None:
        heartbeat()
        if job.seconds is not None and time.monotonic() - started > job.seconds:
            raise StopIteration

    refit = job.keep or job.judge is not None
    try:
        outcome, trained = fit_member(problem, job.member, beat, refit=refit)
    except StopIteration:
        reason = f"took longer than {job.seconds:.1f} s"
        pruned = replace(failed(job.member, reason), status="pruned")
        return Result(replace(pruned, seconds=time.monotonic() - started), None, None)
    predictions = None
    if job.judge is not None:
        rows = examples.take(job.judge.to(problem.device))
        predictions = trained.predict(rows, torch.device("cpu"))
    outcome = replace(outcome, seconds=time.monotonic() - started)
    if not job.keep:
        outcome = replace(outcome, weights=None, buffers={})
    return _result(problem, job, outcome, predictions, examples)


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
