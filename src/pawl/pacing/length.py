"""Behind the search: how long trainings are from there on."""

from __future__ import annotations

from dataclasses import replace

from pawl.evidence import Arm
from pawl.execution import Session
from pawl.pacing.end import RESPLIT_ROWS, copies, ending
from pawl.pacing.proof import seconds_of_model
from pawl.pacing.sizes import LONGER, PAIRS_OF_LONGER, Pace, is_short, long_enough
from pawl.recipe import Recipe


def lengthened(session: Session, pace_: Pace, baseline: Recipe, candidate: Arm) -> int:
    """Returns the passes of the trainings that compare and are delivered: as many as there is time for.

    A search wants many trainings, so where a pass takes long they are short. What is delivered should
    be trained to its end, and a baseline that is cut short is weak: both then train for longer, as long
    as one look at pairs of them fits, up to 30 passes. By times, not by results.

    What has trees, neighbors or lines in it is not lengthened: these do not train in passes.

    Args:
        session: The campaign's, when its search is over.
        pace_: The campaign's sizes.
        baseline: What the candidate is compared with.
        candidate: What is most likely confirmed.
    """
    parts = len(candidate.trainings)
    fixed = [each.recipe for each in candidate.trainings if each.recipe.learner]
    kept = session.clock.stopped or fixed or baseline.learner or pace_.rows is not None
    if pace_.seconds_per_trial is None or kept or not is_short(session, pace_):
        return pace_.epochs
    if candidate.trainings[0].recipe == baseline:  # nothing to compare
        return pace_.epochs
    assert session.clock.left is not None
    left = session.clock.left - ending(session, copies(pace_.seeds, parts), parts)
    pair = RESPLIT_ROWS * pace_.seconds_per_trial + seconds_of_model(session, candidate)
    times = left / ((PAIRS_OF_LONGER + pace_.fresh / RESPLIT_ROWS) * pair)
    return min(long_enough(session), int(pace_.epochs * times)) if times > LONGER else pace_.epochs


def of_length(pace_: Pace, epochs: int) -> Pace:
    """Returns the sizes of a campaign whose trainings take so many passes from now on."""
    if pace_.seconds_per_trial is None or epochs == pace_.epochs:
        return pace_
    seconds = pace_.seconds_per_trial * epochs / pace_.epochs
    return replace(pace_, epochs=epochs, seconds_per_trial=seconds)
