"""The search of a campaign: of networks first, then of whatever leads, while there is time for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from pawl import pacing
from pawl.diagnosing import Finding, mended, suggested
from pawl.ensembling import NETS, Tuning
from pawl.execution import Session
from pawl.ledger import TrialRecord
from pawl.options import Options
from pawl.recipe import Recipe
from pawl.search import Strategy, ranked, search
from pawl.search.warm import task_record, warm_recipes
from pawl.techniques import Facts
from pawl.training.problem import Problem

_MAX_EXTENSIONS = 5
_LEADERS_SHARE = 2 / 3
"""Of time that is left over, for the family of what is best so far."""


def searched(
    session: Session,
    start: Recipe,
    pace: pacing.Pace,
    options: Options,
    tried: Sequence[TrialRecord],
    findings: tuple[Finding, ...],
    *,
    alone: bool = False,
) -> tuple[list[TrialRecord], list[TrialRecord]]:
    """Searches networks and tunes learners, for longer where the evidence will leave time over.

    What the diagnosis would do is tried first, unless a grid says what is.

    Args:
        session: The campaign's.
        start: What networks are searched from.
        pace: The campaign's sizes.
        options: Its options.
        tried: Trials of learners so far.
        findings: The diagnosis.
        alone: Whether one network is delivered: trainings are then held to what they would have there.

    Returns:
        All trials of networks, and all of learners.
    """
    ledger, sign = session.ledger, session.problem.objective.sign
    nets = options.families is None or NETS in options.families
    tuning, trials = Tuning(session, tried, options.folds), list[TrialRecord]()
    strategy = strategy_of(options)
    cure = start if strategy.grid else mended(findings, start, session.facts, options.only)
    warm = [] if cure == start else [cure]
    if options.warm_start and nets:
        told = ledger.decide(
            "warm", lambda: [r.to_dict() for r in warm_of(options, session.facts, session.problem)]
        )
        warm += [Recipe.from_dict(tables) for tables in told]
    searching = partial(
        search, session, start, strategy=strategy, only=options.only, favored=suggested(findings),
        warm=warm,
    )  # fmt: skip

    passes = partial(pacing.passes_of, session, pace)
    plan = replace(pace.search, passes=passes if alone and pacing.is_few(session, pace) else None)

    def networks(until: float | None) -> None:
        trials[:] = searching(replace(plan, deadline=until))

    def learners(until: float | None) -> None:
        if until is not None:
            tuning.run(deadline=until)

    if nets:
        networks(pace.search.deadline)
    else:
        learners(pace.search.deadline)
    tuning.run(count=pacing.tuned(pace))
    for extension in range(_MAX_EXTENSIONS):
        every = [*trials, *tuning.trials]
        best = (ranked(every, sign, 1) or [start])[0]

        def more(best: Recipe = best, every: Sequence[TrialRecord] = every) -> list[float] | None:
            deadline = pacing.extension(session, pace, start, best, every)
            return None if deadline is None else [ledger.elapsed, deadline]

        span = ledger.decide(f"extension/{extension}", more)
        families = [networks] * nets + [learners] * (not tuning.over)
        if span is None or session.clock.stopped or not families:
            break
        begun, deadline = span
        if best.learner:
            families.reverse()
        for family in families[:-1]:
            family(begun + _LEADERS_SHARE * (deadline - begun))
        families[-1](deadline)
    return trials, tuning.trials


def strategy_of(options: Options) -> Strategy:
    """Returns how the search goes."""
    found = Strategy.of(options.search, options.grid or ())
    objectives = tuple(options.objectives or found.objectives)
    return found._replace(objectives=objectives, most=options.max_parameters, folds=options.folds)


def warm_of(options: Options, facts: Facts, problem: Problem) -> list[Recipe]:
    """Returns the recipes of another campaign that are tried first."""
    assert options.warm_start is not None
    return warm_recipes(options.warm_start, facts, task_record(problem), options.only)
