"""After the search: how deep the confirmation goes, and the seeds of the final test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pawl.evidence import LOOKS, ConfirmationEffort
from pawl.execution import Session, seconds_per_epoch
from pawl.ledger import TrialRecord
from pawl.pacing.end import (
    FEW_MODELS,
    RESPLIT_ROWS,
    SLOWER_FINAL,
    ending,
)
from pawl.pacing.racing import RACE_SHARE, for_evidence
from pawl.pacing.sizes import PAIRS, Pace
from pawl.recipe import Recipe

_RACE_TRAININGS = (
    35  # that a longer search leaves time for: six recipes and the baseline, five pairs
)
_WORTHWHILE = 0.08
_SLOWEST_FINAL = 2.0  # so much longer than the baseline a candidate may train that is yet to come
_PLANNING_SECONDS = 0.7  # to time the ways of training a structure that is new
_FEW_PAIRS = (5, 4, 3, 2)
_MOST_TIMED = 4
_ROUND_SHARE = 0.6  # of the time left that a round of the final test's seeds may take


def floor(session: Session, pace_: Pace) -> float | None:
    """Returns the seconds that race and confirmation must leave: the end, and one pair of models."""
    if pace_.seconds_per_trial is None:
        return None
    return ending(session, 1) + (1 + SLOWER_FINAL) * pace_.seconds_per_trial


@dataclass(frozen=True)
class ConfirmationPlan:
    """How deep the confirmation goes, and the seconds to leave for what follows it."""

    effort: ConfirmationEffort
    reserve: float


def plan_confirmation(
    session: Session,
    pace_: Pace,
    baseline: Recipe,
    candidate: Recipe,
    trials: Sequence[TrialRecord],
) -> ConfirmationPlan:
    """Returns the deepest confirmation that fits the time left, by a timing of the candidate."""
    if pace_.seconds_per_trial is None:
        looks = (5,) if len(trials) < 16 else (5, 10) if len(trials) < 64 else (5, 10, 20)
        return ConfirmationPlan(ConfirmationEffort(screen=True, looks=looks), 0.0)
    if not trials:
        return ConfirmationPlan(ConfirmationEffort(screen=False, looks=()), 0.0)
    base = RESPLIT_ROWS * pace_.seconds_per_trial
    mine = RESPLIT_ROWS * session.epochs * seconds_per_epoch(session, candidate, width=PAIRS)
    fresh = pace_.fresh * (mine + base) / RESPLIT_ROWS
    end = ending(session, pace_.seeds) + fresh
    assert session.clock.left is not None
    left = session.clock.left - end
    changes = len(candidate.changes(baseline))
    headline, single = 5 * (mine + base), 5 * mine
    screening = changes * single + base * 5 + single + math.ceil(0.7 * changes) * single
    screening += changes * _PLANNING_SECONDS
    if screening + 2 * headline < left:  # two looks
        return ConfirmationPlan(ConfirmationEffort(True, LOOKS, mine + base), end)
    if headline < left:
        return ConfirmationPlan(ConfirmationEffort(False, LOOKS, mine + base), end)
    bare = ending(session, FEW_MODELS) + fresh
    few = next((n for n in _FEW_PAIRS if n * (mine + base) < session.clock.left - bare), 0)
    return ConfirmationPlan(ConfirmationEffort(False, (few,) if few else (), mine + base), bare)


def comparable(
    session: Session,
    pace_: Pace,
    baseline: Recipe,
    recipes: Sequence[Recipe],
    trials: Sequence[TrialRecord],
) -> tuple[int, ConfirmationPlan]:
    """Returns the first of these recipes that there is time to compare with the baseline, and how deep.

    A good recipe can train too long for what is left of a short budget; one that is not quite as good
    and can be compared is then worth more. Goes by times, not by results.

    Args:
        session: The campaign's.
        pace_: The campaign's sizes.
        baseline: What is compared with.
        recipes: The candidate, and what else to compare, in this order.
        trials: The search's.

    Returns:
        The place among the recipes, 0 if there is time for none, and the depth.
    """
    floor_, session.clock.floor = session.clock.floor, None  # looking is not given up half-way
    try:
        found = None
        for place, recipe in enumerate(recipes[:_MOST_TIMED]):
            planned = plan_confirmation(session, pace_, baseline, recipe, trials)
            found = found or planned
            if planned.effort.looks:
                return place, planned
        assert found is not None
        return 0, found
    finally:
        session.clock.floor = floor_


def extension(session: Session, pace_: Pace, baseline: Recipe, candidate: Recipe) -> float | None:
    """Returns a later deadline for the search if all looks at a candidate would leave time over.

    What is best at the end of the search may train longer than what is best now.
    """
    if pace_.seconds_per_trial is None or not pace_.search.deadline:  # not timed, or no search
        return None
    base = pace_.seconds_per_trial
    mine = session.epochs * seconds_per_epoch(session, candidate, width=PAIRS)
    mine = max(mine, _SLOWEST_FINAL * base)
    changes = len(candidate.changes(baseline))
    evidence = LOOKS[-1] * (mine + base) + LOOKS[0] * changes * mine
    left = for_evidence(session, pace_, mine)
    race_ = max(_RACE_TRAININGS * base * SLOWER_FINAL, RACE_SHARE / (1 - RACE_SHARE) * evidence)
    spare = left - evidence - race_
    assert session.clock.budget is not None
    return session.ledger.elapsed + spare if spare > _WORTHWHILE * session.clock.budget else None


def seeds(session: Session, pace_: Pace, there: int, *, unchanged: bool) -> int:
    """Returns the seeds that are trained for the final test at first: what lacks, or fewer.

    What a pair takes is known from other splits and another number of members only, and a machine
    can turn busy. So a round takes a part of the time left; `more_seeds` goes on from what it took.
    """
    lacking = max(pace_.seeds - there, pace_.fresh)
    if lacking <= 0 or session.clock.left is None or pace_.seconds_per_trial is None:
        return max(0, lacking)
    recent = [t.seconds for t in session.ledger.trials("confirm") if t.steps > 0]
    each = pace_.seconds_per_trial * (1 + SLOWER_FINAL) / 2
    if recent:
        each = sum(recent) / len(recent) / RESPLIT_ROWS
    if unchanged:
        each = pace_.seconds_per_trial / 2
    return max(0 if there else 1, min(lacking, _affordable(session, 2 * each, there)))


def more_seeds(session: Session, most: int, done: int, seconds: float) -> int:
    """Returns how many more seeds the final test gets, by what the last ones took (per seed)."""
    if session.clock.left is None:
        return 0
    return max(0, min(most - done, _affordable(session, seconds, done)))


def _affordable(session: Session, per_seed: float, there: int) -> int:
    """Returns how many seeds fit a part of the time left.

    Below two, which an interval needs, one that just fits all of it is taken too.
    """
    assert session.clock.left is not None
    left = session.clock.left - ending(session, FEW_MODELS)
    count = int(_ROUND_SHARE * left / max(per_seed, 1e-9))
    return 1 if count == 0 and there < 2 and per_seed < 0.9 * left else max(0, count)
