"""Before the search: the length of a trial and the size of the search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pawl.errors import BudgetError, option
from pawl.execution import Session, seconds_per_epoch
from pawl.pacing.end import FEW_MODELS, SLOWER_FINAL, ending
from pawl.recipe import Recipe
from pawl.search import SearchPlan

FEW_TRIALS = 16
"""Below so many a campaign counted in trials has a short race and one look, and tries no learners."""
PAIRS = 5
"""Members that train together when a recipe is timed: the pairs of the first look."""
_STEPS = 3000
_MIN_EPOCHS, _MAX_EPOCHS, _MAX_IMAGE_EPOCHS = 8, 150, 20
_LARGE_ROW = 1024
_FEWEST_TRAININGS = 26
_TRAININGS = ((250, 30), (90, _MIN_EPOCHS), (_FEWEST_TRAININGS, 1))
"""How many trainings a budget should hold, and the fewest passes of one for which so many are wanted."""
_FEW_TRAININGS = 120
"""Below so many that are as long as they should be, search is worth more than pairs and verdicts."""
_SEARCH_SHARE, _SHORT_SEARCH_SHARE = 0.4, 0.3
"""Of the time that is not the end's; less where a budget holds few trainings, which pairs need more."""
_TRIALS_OF_TUNED = 4
"""Trials for each of a learner's settings, in a campaign that is counted in trials."""
_GENERATIONS, _GENERATIONS_OF_FEW = 6, 12
"""Structures that a search should try: more where trainings are few, since settings are tried beside."""
_KNOWN_OF_FEW = 2
"""Settings of a recipe that is known to be good, where trainings are few: its own, and one near them."""
_SEEDS = 5
_COST_PER_CONFIGURATION = 0.5  # of a full training, with two rungs and a reduction of 3
_TRAININGS_OF_FEW, _PASSES_OF_FEW, _FEWEST_ROWS = 240, 3, 2000
"""Where not even the fewest trainings of all rows fit: so many, with passes over as many rows as do."""
LONGER = 1.25
"""So much longer than the search's must trainings be that compare, to be worth it."""
ROOM = 1.2
"""Times the pairs that are wanted; on a machine that turns busy there are fewer."""
PAIRS_OF_LONGER = ROOM * PAIRS
"""Pairs of a look, and a little room."""
MODELS_OF_MORE = 2
"""Pairs of models that then train at the end, on as many rows as there is time for: an interval's."""
_BARE_TRAININGS = 4  # without search and comparisons: three seeds of the baseline, and some room


@dataclass(frozen=True)
class Pace:
    """Sizes that are fixed before the search.

    Attributes:
        epochs: Passes of a full trial over its training rows.
        seconds_per_trial: Of the baseline, in a population of five; `None` when nothing is timed.
        search: Size of the search.
        seeds: Pairs of models that the final test scores.
        fresh: How many of them train on all development rows, behind the confirmation.
        rows: What a training takes of the rows until then, where there are too many; all if `None`.
    """

    epochs: int
    seconds_per_trial: float | None
    search: SearchPlan
    seeds: int
    fresh: int = 0
    rows: int | None = None


def natural_epochs(session: Session) -> int:
    """Returns the passes that give about 3,000 steps at a batch of 128, within limits.

    What the user asked for comes first.
    """
    if session.longest is not None:
        return session.longest
    train, _ = session.rows.search
    steps = max(1, len(train) // 128)
    epochs = max(_MIN_EPOCHS, min(_MAX_EPOCHS, math.ceil(_STEPS / steps)))
    values = sum(math.prod(spec.shape) for spec in session.problem.schema.inputs)
    if not session.clock.timed and values > _LARGE_ROW:
        epochs = min(epochs, _MAX_IMAGE_EPOCHS)
    return epochs


def long_enough(session: Session) -> int:
    """Returns the passes beyond which more pairs, and verdicts, are worth more than longer trainings."""
    return min(natural_epochs(session), _TRAININGS[0][1])


def is_few(session: Session, pace_: Pace) -> bool:
    """Tells whether a budget holds so few trainings that more search is worth more than many pairs.

    Of trainings that are as long as they should be. Not where these take a part of the rows.
    """
    if pace_.seconds_per_trial is None or session.clock.budget is None or pace_.rows is not None:
        return False
    longer = max(1.0, long_enough(session) / pace_.epochs)
    return session.clock.budget < _FEW_TRAININGS * longer * pace_.seconds_per_trial


def is_short(session: Session, pace_: Pace) -> bool:
    """Tells whether a budget's trainings are shorter than trainings of these rows should be."""
    return LONGER * pace_.epochs < long_enough(session)


def pace(
    session: Session, baseline: Recipe, trials: int | None, average: int = _SEEDS, folds: int = 1
) -> Pace:
    """Returns the campaign's sizes.

    Args:
        session: The campaign's.
        baseline: The recipe to start from.
        trials: Of the search, where no budget is given.
        average: Most models of the bundle. A single one has to train on all rows.
        folds: Trainings of a trial of the search.

    Raises:
        BudgetError: The budget does not hold one training of a single pass.
    """
    if trials is not None:
        quota = max(2, min(32, trials // 5))
        plan = SearchPlan(width=math.ceil(quota / 2), quota=quota, trials=trials, deadline=None)
        fresh = _fresh(session, average)
        return Pace(natural_epochs(session), None, plan, max(_SEEDS, average), fresh)
    decided = session.ledger.decide("pace", lambda: _timed_pace(session, baseline, average, folds))
    found = Pace(**{**decided, "search": SearchPlan(**decided["search"])})
    if found.rows is not None:
        session.take_few(found.rows)
    return found


def tuned(pace_: Pace) -> int:
    """Returns how many settings of learners are tried where trials are counted; 0 where time is."""
    return (pace_.search.trials or 0) // _TRIALS_OF_TUNED


def affordable(session: Session, pace_: Pace, learners: Sequence[Recipe]) -> Sequence[Recipe]:
    """Returns the learners that are tried: all, but none in a campaign of few trials or of no search."""
    few = pace_.search.trials is not None and pace_.search.trials < FEW_TRIALS
    return () if few or pace_.search.deadline == 0.0 else learners


def trial_epochs(left: float, per_epoch: float) -> tuple[int, int]:
    """Returns the passes of a trial, and how many trainings of the baseline the time should hold.

    The slower a machine, the shorter its trials; below some length, fewer of them.

    Args:
        left: Seconds.
        per_epoch: Seconds of a pass.
    """
    epochs, most, trainings = 0, math.inf, 0
    for trainings, fewest in _TRAININGS:
        epochs = int(min(most, left / (trainings * per_epoch)))
        if epochs >= fewest:
            break
        most = fewest  # not longer than where more are wanted
    return epochs, trainings


def fewer_rows(
    left: float, per_epoch: float, rows: int, passes: int = _TRAININGS_OF_FEW * _PASSES_OF_FEW
) -> int | None:
    """Returns of how many rows so many passes fit; `None` if only of too few, or of all.

    Args:
        left: Seconds.
        per_epoch: Seconds of a pass over all rows.
        rows: How many these are.
        passes: Of all trainings together.
    """
    few = int(rows * left / (passes * per_epoch))
    return few if _FEWEST_ROWS <= few < rows else None


def _timed_pace(session: Session, baseline: Recipe, average: int, folds: int) -> dict[str, Any]:
    end = ending(session, FEW_MODELS)
    assert session.clock.left is not None
    if session.clock.left < end:  # already: no need to time anything
        begun = session.ledger.elapsed
        longer = option("budget", f"{math.ceil(3 * (begun + end))}s")
        raise BudgetError(
            f"a budget of {session.clock.budget:.10g}s is too short here: reading took {begun:.0f}s, "
            f"and the end (export, report) takes about {end:.0f}s; give {longer}"
        )
    per_epoch = seconds_per_epoch(session, baseline, width=PAIRS)
    left, rows = session.clock.left - end, None
    epochs, trainings = trial_epochs(left, per_epoch)
    if epochs < 1:
        rows = fewer_rows(left, per_epoch, len(session.rows.search[0]))
    if rows is not None:
        per_epoch *= rows / len(session.rows.search[0])
        epochs, trainings = _PASSES_OF_FEW, _TRAININGS_OF_FEW
    many = trainings == _TRAININGS[0][0]
    share = _SEARCH_SHARE if many else _SHORT_SEARCH_SHARE
    generations = _GENERATIONS if many else _GENERATIONS_OF_FEW
    epochs = min(epochs, natural_epochs(session))
    if epochs < 1:
        return asdict(_bare_pace(session, per_epoch, end))
    per_trial = epochs * per_epoch
    fresh = _fresh(session, average) if rows is None else MODELS_OF_MORE
    searching = share * (left - fresh * per_trial * (1 + SLOWER_FINAL))
    configurations = searching / (folds * per_trial) / _COST_PER_CONFIGURATION
    quota = max(4, min(64, round(configurations / generations)))
    plan = SearchPlan(
        width=math.ceil(quota / 2),
        quota=quota,
        trials=None,
        deadline=session.ledger.elapsed + searching,
        known=quota if many else _KNOWN_OF_FEW,
    )
    seeds = max(_SEEDS, average) if rows is None else MODELS_OF_MORE
    return asdict(Pace(epochs, per_trial, plan, seeds, fresh, rows))


def _fresh(session: Session, average: int) -> int:
    """Returns how many models the end trains anew, on all rows: one that is alone, and those of series.

    Where models are judged on later rows than they train on, the confirmation's lack the latest.
    """
    return FEW_MODELS if session.rows.in_time else int(average == 1)


def _bare_pace(session: Session, per_epoch: float, end: float) -> Pace:
    """Returns the sizes of a campaign that trains the baseline and says how good it is.

    Where not even a pass over all rows fits, its trainings take one over as many as do.
    """
    assert session.clock.left is not None
    left, every = session.clock.left - end, len(session.rows.search[0])
    rows = fewer_rows(left, per_epoch, every, _BARE_TRAININGS) if left < per_epoch else None
    if left < per_epoch and rows is None:
        need = session.ledger.elapsed + end + _FEWEST_TRAININGS * per_epoch
        raise BudgetError(
            f"a budget of {session.clock.budget:.10g}s is too short for this data: one pass over the "
            f"rows takes {per_epoch:.1f}s, and the end (export, report) about {end:.0f}s; give "
            f"{option('budget', f'{math.ceil(need)}s')} or more"
        )
    per_epoch *= 1.0 if rows is None else rows / every
    epochs = max(1, int(left / (_BARE_TRAININGS * per_epoch)))
    plan = SearchPlan(width=1, quota=1, trials=None, deadline=0.0)
    seeds = 3 if left > 3.5 * per_epoch else 1
    return Pace(epochs, epochs * per_epoch, plan, seeds, rows=rows)
