"""What a pass over the rows takes in a campaign, by measurement."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from functools import partial

from pawl.errors import TrialError
from pawl.execution.devices import synchronize
from pawl.execution.executors import Heartbeat, Lost
from pawl.execution.planner import Plan
from pawl.execution.session import Session
from pawl.recipe import Recipe
from pawl.training.fits import fit_member
from pawl.training.population import Member, Population
from pawl.training.problem import Problem
from pawl.training.run import Run

_TIMED_STEPS, _REPEATS, _LONG_ENOUGH = 8, 4, 1.0


def seconds_per_epoch(session: Session, recipe: Recipe, width: int) -> float:
    """Measures a member's seconds per epoch, evaluation included, when `width` train at once.

    Of a learner, whose fit has no parts to time, by the fits there were, or by one.

    Raises:
        TrialError: It cannot be trained.
    """
    train, valid = session.rows.search
    chosen = session.trainer.plan(recipe)
    if recipe.learner:
        return _seconds_of_fits(session, recipe, Member(recipe, 0, train, valid, session.epochs))
    width = 1 if chosen.way.mode == "serial" else math.ceil(width / chosen.workers)
    width = min(width, chosen.width)
    members = [
        Member(recipe, session.rows.derive("timing", i), train, valid, 1000) for i in range(width)
    ]
    work = partial(_time_epoch, session.problem, members, chosen)
    timings = session.trainer.run([work] * chosen.workers, chosen, members[0])
    seconds: list[float] = [each for each in timings if not isinstance(each, Lost)]
    if not seconds:
        raise TrialError(f"recipe {recipe.id} cannot be timed: {timings[0].reason}")
    return sum(seconds) / len(seconds) / chosen.workers


def _seconds_of_fits(session: Session, recipe: Recipe, member: Member) -> float:
    fits = [t for t in session.ledger.trials() if t.recipe_id == recipe.id and t.steps]
    if not fits:
        outcome, _ = fit_member(session.problem, member, session.heartbeat)
        return outcome.seconds / member.epochs
    batch = min(recipe.batch_size, len(session.problem.targets))
    # A fit counts as many passes as networks of its time trained for.
    per_row = statistics.fmean(t.epochs * t.seconds / (t.steps * batch) for t in fits)
    return per_row * len(member.train) / member.epochs


def _time_epoch(problem: Problem, members: Sequence[Member], chosen: Plan, _: Heartbeat) -> float:
    """Returns the seconds of an epoch, with its evaluation, for each member."""
    width = len(members)
    run = Run(Population(problem, members, chosen.stepper(width)))
    run.population.advance(1)
    synchronize(problem.device)
    started = time.perf_counter()
    run.population.advance(1)
    synchronize(problem.device)
    affordable = int(_LONG_ENOUGH / (time.perf_counter() - started))
    interval = int(run.interval[0])
    steps = max(1, min(_TIMED_STEPS, interval, affordable))
    # The median of a few repeats: what neighbors take is part of it, and a hiccup is not.
    blocks, begun = list[float](), time.perf_counter()
    for _repeat in range(_REPEATS):
        started = time.perf_counter()
        run.population.advance(steps)
        synchronize(problem.device)
        blocks.append((time.perf_counter() - started) / steps)
        if time.perf_counter() - begun > _LONG_ENOUGH:
            break
    started = time.perf_counter()
    run.validate()
    synchronize(problem.device)
    evaluation = time.perf_counter() - started
    epochs = interval / int(run.population.steps_per_epoch[0])
    return (statistics.median(blocks) * interval + evaluation) / epochs / width
