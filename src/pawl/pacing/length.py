"""How long trainings are: of structures that take longer than others, and behind the search."""

from __future__ import annotations

from dataclasses import replace

from pawl.errors import TrialError
from pawl.evidence import Arm, Blend, Stacked
from pawl.execution import Session, seconds_per_epoch
from pawl.pacing.end import RESPLIT_ROWS, copies, ending
from pawl.pacing.proof import pairs_of_blend, seconds_of_each
from pawl.pacing.sizes import (
    LONGER,
    PAIRS,
    PAIRS_OF_LONGER,
    ROOM,
    Pace,
    is_short,
    long_enough,
    natural_epochs,
)
from pawl.recipe import Recipe

_MOSTLY = 0.5
"""Of a blend, the share of its networks from which on their length is worth pairs."""


def passes_of(session: Session, pace_: Pace, recipe: Recipe) -> int:
    """Returns the passes of a recipe's trainings in a search by few: what a comparison would leave it.

    A pair of models of a recipe that takes `c` times as long as the baseline takes as long as `1 + c` of
    the baseline's, so with equal time both get `2 / (1 + c)` times the passes. At equal passes, what
    takes longer would be found better that is not, once it is compared.

    Args:
        session: The campaign's.
        pace_: Its sizes, timed.
        recipe: Of a structure that can be trained.
    """
    assert pace_.seconds_per_trial is not None
    try:
        mine = pace_.epochs * seconds_per_epoch(session, recipe, width=PAIRS)
    except TrialError:  # it will be said where it trains
        return pace_.epochs
    passes = round(2.0 * pace_.epochs / (1.0 + mine / pace_.seconds_per_trial))
    return max(1, min(natural_epochs(session), passes))


def lengthened(session: Session, pace_: Pace, baseline: Recipe, candidate: Arm) -> int:
    """Returns the passes of the trainings that compare and are delivered: as many as there is time for.

    A search wants many trainings, so where a pass takes long they are short. What is delivered should
    be trained to its end, and a baseline that is cut short is weak: both then train for longer, as long
    as one look at pairs of them fits, up to 30 passes. By times, not by results.

    Trees, neighbors and lines do not train in passes: they take what they take, and where they have most
    of a blend, its networks keep their length. A blend leaves time for the pairs that it needs.

    Args:
        session: The campaign's, when its search is over.
        pace_: The campaign's sizes.
        baseline: What the candidate is compared with.
        candidate: What is most likely confirmed.
    """
    recipes = [each.recipe for each in candidate.trainings]
    learners = any(recipe.learner for recipe in recipes)
    few = _share_of_networks(candidate) < _MOSTLY
    kept = session.clock.stopped or few or baseline.learner or pace_.rows is not None
    if pace_.seconds_per_trial is None or kept or not is_short(session, pace_):
        return pace_.epochs
    if recipes[0] == baseline:  # nothing to compare
        return pace_.epochs
    assert session.clock.left is not None
    parts = len(recipes)
    left = session.clock.left - ending(session, copies(pace_.seeds, parts), parts)
    each = dict(zip(recipes, seconds_of_each(session, recipes), strict=True))
    fixed = sum(seconds for recipe, seconds in each.items() if recipe.learner)
    moving = RESPLIT_ROWS * pace_.seconds_per_trial + sum(each.values()) - fixed
    pairs = ROOM * pairs_of_blend(session, candidate) if learners else PAIRS_OF_LONGER
    pairs += pace_.fresh / RESPLIT_ROWS
    times = (left / pairs - fixed) / moving
    return min(long_enough(session), int(pace_.epochs * times)) if times > LONGER else pace_.epochs


def _share_of_networks(arm: Arm) -> float:
    shares = arm.shares if isinstance(arm, Blend | Stacked) else (1.0,)
    each = zip(arm.trainings, shares, strict=True)
    return sum(share for training, share in each if not training.recipe.learner)


def of_length(pace_: Pace, epochs: int) -> Pace:
    """Returns the sizes of a campaign whose trainings take so many passes from now on."""
    if pace_.seconds_per_trial is None or epochs == pace_.epochs:
        return pace_
    seconds = pace_.seconds_per_trial * epochs / pace_.epochs
    return replace(pace_, epochs=epochs, seconds_per_trial=seconds)
