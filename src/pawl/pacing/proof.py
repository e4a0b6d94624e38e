"""After the search: how deep the confirmation goes, and the seeds of the final test."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pawl.evidence import LOOKS, Arm, ConfirmationEffort, lead
from pawl.execution import Session, seconds_per_epoch
from pawl.pacing.end import (
    FEW_MODELS,
    RESPLIT_ROWS,
    SLOWER_FINAL,
    copies,
    ending,
    scoring,
)
from pawl.pacing.racing import seconds_of_recipes
from pawl.pacing.sizes import FEW_TRIALS, PAIRS, Pace
from pawl.recipe import Recipe

_STOPPED_ROOM = 1.5  # for candidates that train longer than planned for
_PLANNING_SECONDS = 0.7  # to time the ways of training a structure that is new
_FEW_PAIRS = (5, 4, 3, 2)
_MOST_TIMED = 8
_FEW_ROWS = 4000
"""Rows that prove; below so many five pairs rarely show anything, and of fewer pairs nothing does."""
_PAIRS_OF_FEW, _PAIRS_OF_MANY, _PAIRS_OF_NETWORKS = 8, 5, LOOKS[-1]
"""Pairs that a blend must have time for to be preferred; networks alone gain as much by their copies."""
_ROUND_SHARE = 0.6  # of the time left that a round of the final test's seeds may take
_ROWS_SHARE = 0.55  # that its rows are chosen for, where there are very many: a little less


def floor(session: Session, pace_: Pace, arm: Arm | None = None) -> float | None:
    """Returns the seconds that race and confirmation must leave: the end, and one pair of models.

    Of a blend, which is never delivered without the pairs that it was confirmed by, the end alone,
    unless models are trained anew there; `arm` is what is confirmed, once that is known.
    """
    if pace_.seconds_per_trial is None:
        return None
    recipes = [] if arm is None else [training.recipe for training in arm.trainings]
    if len(recipes) > 1:
        models, parts = copies(FEW_MODELS, len(recipes)), len(recipes)
        anew = (1 + SLOWER_FINAL * parts) * pace_.seconds_per_trial if pace_.fresh else 0.0
        return ending(session, models, parts) + scoring(session)(recipes, models) + anew
    return ending(session, 1) + (1 + SLOWER_FINAL) * pace_.seconds_per_trial


def shortest(session: Session, pace_: Pace) -> float | None:
    """Returns the seconds that a campaign takes which is asked to end its search now.

    The end, and one look at a candidate: its pairs decide whether it is delivered.
    """
    if pace_.seconds_per_trial is None:
        return None
    trainings = (LOOKS[0] + pace_.fresh) * (1 + SLOWER_FINAL)
    return ending(session, FEW_MODELS) + _STOPPED_ROOM * trainings * pace_.seconds_per_trial


@dataclass(frozen=True)
class ConfirmationPlan:
    """How deep the confirmation goes, and the seconds to leave for what follows it.

    `pairs` is how many there is time for, of those of all looks.
    """

    effort: ConfirmationEffort
    reserve: float
    pairs: int = LOOKS[-1]


def plan_confirmation(
    session: Session,
    pace_: Pace,
    baseline: Recipe,
    candidate: Arm,
    *,
    searched: bool = True,
) -> ConfirmationPlan:
    """Returns the deepest confirmation that fits the time left, by timings of the candidate's parts.

    Only a network's recipe is screened, and only changes of a network's recipe are judged.
    """
    leading, parts = lead(candidate), len(candidate.trainings)
    if pace_.seconds_per_trial is None:
        trials = pace_.search.trials or 0
        looks = (5,) if trials < FEW_TRIALS else (5, 10) if trials < 64 else (5, 10, 20)
        if session.clock.stopped:
            return ConfirmationPlan(ConfirmationEffort(screen=False, looks=LOOKS[:1]), 0.0)
        return ConfirmationPlan(ConfirmationEffort(screen=True, looks=looks), 0.0)
    if not searched:
        return ConfirmationPlan(ConfirmationEffort(screen=False, looks=()), 0.0)
    base = RESPLIT_ROWS * pace_.seconds_per_trial
    mine, models = seconds_of_model(session, candidate), copies(pace_.seeds, parts)
    fresh = pace_.fresh * (mine + base) / RESPLIT_ROWS
    recipes, fewest = [each.recipe for each in candidate.trainings], min(FEW_MODELS, models)
    predicting = scoring(session)
    end = ending(session, models, parts) + predicting(recipes, models) + fresh
    assert session.clock.left is not None
    left = session.clock.left - end
    networks = not (leading.learner or baseline.learner)
    changes = len(leading.changes(baseline)) if networks else 0
    headline, single = 5 * (mine + base), 5 * mine
    pairs = min(LOOKS[-1], int(left / (mine + base)))
    screening = changes * single + base * 5 + single + math.ceil(0.7 * changes) * single
    screening += changes * _PLANNING_SECONDS
    if parts == 1 and screening + 2 * headline < left:  # two looks
        return ConfirmationPlan(ConfirmationEffort(True, LOOKS, mine + base), end, pairs)
    if headline < left:
        return ConfirmationPlan(ConfirmationEffort(False, LOOKS, mine + base), end, pairs)
    bare = ending(session, fewest, parts) + predicting(recipes, fewest) + fresh
    few = next((n for n in _FEW_PAIRS if n * (mine + base) < session.clock.left - bare), 0)
    effort = ConfirmationEffort(False, (few,) if few else (), mine + base)
    return ConfirmationPlan(effort, bare, few)


def seconds_of_each(session: Session, recipes: Sequence[Recipe]) -> list[float]:
    """Returns the seconds of each recipe's training in a pair: as it took in the race, or timed."""
    known = seconds_of_recipes(session, session.ledger.trials("race"))
    return [
        known(recipe)
        or RESPLIT_ROWS * session.epochs * seconds_per_epoch(session, recipe, width=PAIRS)
        for recipe in recipes
    ]


def seconds_of_model(session: Session, arm: Arm) -> float:
    """Returns the seconds of a model of an arm in a pair."""
    return sum(seconds_of_each(session, [each.recipe for each in arm.trainings]))


def pairs_of_blend(session: Session, blend: Arm) -> int:
    """Returns the pairs that a blend must have time for, to be preferred to what trains in less."""
    if not any(each.recipe.learner for each in blend.trainings):
        return _PAIRS_OF_NETWORKS
    return _PAIRS_OF_FEW if _few_prove(session) else _PAIRS_OF_MANY


def _few_prove(session: Session) -> bool:
    return len(session.rows.parts[1]) < _FEW_ROWS


def comparable(
    session: Session,
    pace_: Pace,
    baseline: Recipe,
    arms: Sequence[Arm],
    *,
    behind: Collection[str] = (),
    searched: bool = True,
) -> tuple[int, ConfirmationPlan]:
    """Returns the first of these arms that there is time to compare with the baseline, and how deep.

    A good one can train too long for what is left of a short budget; one that is not quite as good
    and can be compared is then worth more. So is a smaller blend that can be compared on more pairs,
    and where few rows prove whatever has a pair for each fold; but one that is behind only where there
    is time for nothing else. Goes by times and by the race, never by rows that prove.

    Args:
        session: The campaign's.
        pace_: The campaign's sizes.
        baseline: What is compared with.
        arms: The candidate, and what else to compare, in this order.
        behind: Identifiers of those that are probably worse than another of them.
        searched: Whether anything was found that could be better.

    Returns:
        The place among the arms, 0 if there is time for none, and the depth.
    """
    floor_, session.clock.floor = session.clock.floor, None  # looking is not given up half-way
    plans: dict[int, ConfirmationPlan] = {}

    def plan(place: int) -> ConfirmationPlan:
        if place not in plans:
            plans[place] = plan_confirmation(
                session, pace_, baseline, arms[place], searched=searched
            )
        return plans[place]

    def fits(place: int, pairs: int) -> bool:
        return bool(plan(place).effort.looks) and plan(place).pairs >= pairs

    least = LOOKS[0] if _few_prove(session) else 1
    places = range(len(arms))[:_MOST_TIMED]
    first = [place for place in places if arms[place].id not in behind]
    blends = [place for place in first if len(arms[place].trainings) > 1]
    wanted = [(place, pairs_of_blend(session, arms[place])) for place in blends]
    wanted += [(place, pairs) for some in (first, places) for pairs in (least, 0) for place in some]
    try:
        place = next((place for place, pairs in wanted if fits(place, pairs)), 0)
        return place, plan(place)
    finally:
        session.clock.floor = floor_


def seeds(
    session: Session,
    pace_: Pace,
    there: int,
    parts: int = 1,
    *,
    unchanged: bool = False,
    most: int | None = None,
) -> int:
    """Returns the seeds that are trained for the final test at first: what lacks, or fewer.

    `parts` is how many recipes a model of the final arm trains, `most` how many rows, of very many.
    What a pair takes is known from other splits and another number of members only, and a machine can
    turn busy. So a round takes a part of the time left; `more_seeds` goes on from what it took.
    """
    lacking = max(pace_.seeds - there, pace_.fresh)
    if session.clock.stopped:
        lacking = max(int(not there), pace_.fresh)
    if lacking <= 0 or session.clock.left is None or pace_.seconds_per_trial is None:
        return max(0, lacking)
    each = _seconds_per_seed(session, pace_, parts, unchanged=unchanged)
    if most is not None and pace_.rows is not None:
        each *= most / pace_.rows
    affordable_ = _affordable(session, each, there, parts)
    return max(0 if there else 1, min(lacking, affordable_))


def rows_at_end(
    session: Session, pace_: Pace, parts: int = 1, *, unchanged: bool = False
) -> int | None:
    """Returns how many rows a training of the final test takes, where all were too many until then.

    As many as there is time for, with as many seeds as an interval needs; `None` for all.
    """
    if pace_.rows is None or session.clock.left is None:
        return None
    left = session.clock.left - ending(session, copies(FEW_MODELS, parts), parts)
    each = _seconds_per_seed(session, pace_, parts, unchanged=unchanged)
    times = _ROWS_SHARE * left / max(pace_.seeds * each, 1e-9)
    return min(len(session.problem.targets), int(pace_.rows * max(1.0, times)))


def _seconds_per_seed(session: Session, pace_: Pace, parts: int, *, unchanged: bool) -> float:
    """Returns the seconds in which both arms train a model, by what they took in the confirmation."""
    assert pace_.seconds_per_trial is not None
    recent = [t.seconds for t in session.ledger.trials("confirm") if t.steps > 0]
    each = pace_.seconds_per_trial * (1 + SLOWER_FINAL) / 2
    if recent:
        each = sum(recent) / len(recent) / RESPLIT_ROWS
    if unchanged:
        each = pace_.seconds_per_trial / 2
    return (1 + parts) * each


def more_seeds(session: Session, most: int, parts: int, done: int, seconds: float) -> int:
    """Returns how many more seeds the final test gets, by what the last ones took (per seed)."""
    if session.clock.left is None or session.clock.stopped:
        return 0
    return max(0, min(most - done, _affordable(session, seconds, done, parts)))


def _affordable(session: Session, per_seed: float, there: int, parts: int) -> int:
    """Returns how many seeds fit a part of the time left.

    Below two, which an interval needs, one that just fits all of it is taken too.
    """
    assert session.clock.left is not None
    left = session.clock.left - ending(session, copies(FEW_MODELS, parts), parts)
    count = int(_ROUND_SHARE * left / max(per_seed, 1e-9))
    return 1 if count == 0 and there < 2 and per_seed < 0.9 * left else max(0, count)
