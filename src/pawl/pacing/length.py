"""Behind the search: how long trainings are from there on."""

from __future__ import annotations

from dataclasses import replace

from pawl.evidence import Arm, Blend, Stacked
from pawl.execution import Session
from pawl.pacing.end import RESPLIT_ROWS, copies, ending
from pawl.pacing.proof import pairs_of_blend, seconds_of_each
from pawl.pacing.sizes import LONGER, PAIRS_OF_LONGER, ROOM, Pace, is_short, long_enough
from pawl.recipe import Recipe

_MOSTLY = 0.5
"""Of a blend, the share of its networks from which on their length is worth pairs."""


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
