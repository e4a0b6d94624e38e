"""How a campaign shares its budget: length of a trial, size of the search, depth of the evidence.

With a budget in seconds, sizes follow from timings and are written to the ledger as decisions. With a
number of trials they follow from rules alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pawl.errors import BudgetError
from pawl.evidence import LOOKS, Effort
from pawl.execution import Session, seconds_per_epoch
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe
from pawl.search import SearchPlan

END_SECONDS = 8.0
"""Export of twice five models, latency, report."""
_BOOTSTRAP_SECONDS = 1e-4
"""Per test row and paired seed, for the interval of the gain: the slowest metric (roc_auc), one core."""
_PROBE_SECONDS = 0.05
_STEPS = 3000
_MIN_EPOCHS, _MAX_EPOCHS, _MAX_IMAGE_EPOCHS = 8, 150, 20
_LARGE_ROW = 1024
_FEWEST_TRAININGS = 26
_TRAININGS = ((250, 30), (90, _MIN_EPOCHS), (_FEWEST_TRAININGS, 1))
"""How many trainings a budget should hold, and the fewest passes of one for which so many are wanted."""
_SEARCH_SHARE = 0.4
_GENERATIONS = 6
_TEST_SHARE = 0.15
_COST_PER_CONFIGURATION = 0.5  # of a full training, with two rungs and a reduction of 3
_SLOWER_FINAL = 1.6  # how much longer a final recipe trains than a baseline, as planned for
_PAIRS = 5
_BARE_TRAININGS = 4  # without search and comparisons: three seeds of the baseline, and some room
_FEW_SEEDS, _MOST_SEEDS = 2, 10
_ROUND_SHARE = 0.6  # of the time left that a round of the final test's seeds may take
_RACE_SHARE, _SMALL_RACE_SHARE = 0.35, 0.5  # of the time left for race and confirmation
_RACES = ((16, 10), (12, 8), (8, 6), (6, 5), (4, 4), (3, 3), (2, 3))
_FEW_RACERS = 3
_RESPLIT_ROWS = 0.85  # training rows of a resplit, relative to the search's
_WORTHWHILE = 0.08


@dataclass(frozen=True)
class Pace:
    """Sizes that are fixed before the search.

    Attributes:
        epochs: Passes of a full trial over its training rows.
        seconds_per_trial: Of the baseline, in a population of five; `None` when nothing is timed.
        search: Size of the search.
        seeds: Paired seeds of the final test.
    """

    epochs: int
    seconds_per_trial: float | None
    search: SearchPlan
    seeds: int


def natural_epochs(session: Session) -> int:
    """Returns the passes that give about 3,000 steps at a batch of 128, within limits.

    What the user asked for comes first.
    """
    if session.longest is not None:
        return session.longest
    train, _ = session.search_rows
    steps = max(1, len(train) // 128)
    epochs = max(_MIN_EPOCHS, min(_MAX_EPOCHS, math.ceil(_STEPS / steps)))
    values = sum(math.prod(spec.shape) for spec in session.problem.schema.inputs)
    if not session.timed and values > _LARGE_ROW:
        epochs = min(epochs, _MAX_IMAGE_EPOCHS)
    return epochs


def pace(session: Session, baseline: Recipe, trials: int | None) -> Pace:
    """Returns the campaign's sizes.

    Raises:
        BudgetError: The budget does not hold one training of a single pass.
    """
    if trials is not None:
        quota = max(2, min(32, trials // 5))
        plan = SearchPlan(width=math.ceil(quota / 2), quota=quota, trials=trials, deadline=None)
        return Pace(natural_epochs(session), None, plan, seeds=5)
    decided = session.ledger.decide("pace", lambda: _timed_pace(session, baseline))
    return Pace(**{**decided, "search": SearchPlan(**decided["search"])})


def _timed_pace(session: Session, baseline: Recipe) -> dict[str, Any]:
    end = ending(session, 3)
    assert session.left is not None
    if session.left < end:  # already: no need to time anything
        begun = session.ledger.elapsed
        raise BudgetError(
            f"a budget of {session.budget:.0f}s is too short here: reading took {begun:.0f}s, and the "
            f"end (export, report) takes about {end:.0f}s; give --budget {math.ceil(3 * (begun + end))}s"
        )
    per_epoch = seconds_per_epoch(session, baseline, width=_PAIRS)
    left = session.left - end
    epochs = 0
    for trainings, fewest in _TRAININGS:
        epochs = int(left / (trainings * per_epoch))
        if epochs >= fewest:
            break
    epochs = min(epochs, natural_epochs(session))
    if epochs < 1:
        return asdict(_bare_pace(session, per_epoch, end))
    per_trial = epochs * per_epoch
    seeds = 5 if 5 * per_trial * (1 + _SLOWER_FINAL) < _TEST_SHARE * left else 3
    searching = _SEARCH_SHARE * (left - seeds * per_trial * (1 + _SLOWER_FINAL))
    configurations = searching / per_trial / _COST_PER_CONFIGURATION
    quota = max(4, min(64, round(configurations / _GENERATIONS)))
    plan = SearchPlan(
        width=math.ceil(quota / 2),
        quota=quota,
        trials=None,
        deadline=session.ledger.elapsed + searching,
    )
    return asdict(Pace(epochs, per_trial, plan, seeds))


def _bare_pace(session: Session, per_epoch: float, end: float) -> Pace:
    """Returns the sizes of a campaign that trains the baseline and says how good it is."""
    assert session.left is not None
    left = session.left - end
    if left < per_epoch:
        need = session.ledger.elapsed + end + _FEWEST_TRAININGS * per_epoch
        raise BudgetError(
            f"a budget of {session.budget:.0f}s is too short for this data: one pass over the rows "
            f"takes {per_epoch:.1f}s, and the end (export, report) about {end:.0f}s; give --budget "
            f"{math.ceil(need)}s or more"
        )
    epochs = max(1, int(left / (_BARE_TRAININGS * per_epoch)))
    plan = SearchPlan(width=1, quota=1, trials=None, deadline=0.0)
    return Pace(epochs, epochs * per_epoch, plan, seeds=3 if left > 3.5 * per_epoch else 1)


def ending(session: Session, seeds: int) -> float:
    """Returns the seconds of what follows the last training: intervals, export, latency, report."""
    return (END_SECONDS + seeds * _bootstrap(session)) * _slowdown()


def _bootstrap(session: Session) -> float:
    return session.test_rows * _BOOTSTRAP_SECONDS


def _slowdown() -> float:
    """Returns how much longer work takes by the clock than by the processor: above 1 if it is busy."""
    wall, cpu = time.monotonic(), time.thread_time()
    while time.thread_time() - cpu < _PROBE_SECONDS:
        pass
    return max(1.0, (time.monotonic() - wall) / (time.thread_time() - cpu))


def floor(session: Session, pace_: Pace) -> float | None:
    """Returns the seconds that race and confirmation must leave: the end, and one pair of models."""
    if pace_.seconds_per_trial is None:
        return None
    return ending(session, 1) + (1 + _SLOWER_FINAL) * pace_.seconds_per_trial


def finalists(session: Session, pace_: Pace, trials: Sequence[TrialRecord]) -> tuple[int, int]:
    """Returns how many recipes go into the race, and on how many pairs (one recipe: no race).

    On few rows a validation score says little, and trainings are cheap: many recipes race then.
    """
    if pace_.seconds_per_trial is None:
        return (3, 3) if len(trials) >= 16 else (2, 2)
    left = _for_evidence(session, pace_, pace_.seconds_per_trial * _SLOWER_FINAL)
    per_trial = pace_.seconds_per_trial * _SLOWER_FINAL
    for count, pairs in _RACES:
        share = _RACE_SHARE if count > _FEW_RACERS else _SMALL_RACE_SHARE
        if (count + 1) * pairs * per_trial < share * left:
            return count, pairs
    return 1, 0


@dataclass(frozen=True)
class Depth:
    """How deep the confirmation goes, and the seconds to leave for what follows it."""

    effort: Effort
    reserve: float


def depth(
    session: Session,
    pace_: Pace,
    baseline: Recipe,
    candidate: Recipe,
    trials: Sequence[TrialRecord],
) -> Depth:
    """Returns the deepest confirmation that fits the time left, by a timing of the candidate."""
    if pace_.seconds_per_trial is None:
        looks = (5,) if len(trials) < 16 else (5, 10) if len(trials) < 64 else (5, 10, 20)
        return Depth(Effort(screen=True, looks=looks), 0.0)
    if not trials:
        return Depth(Effort(screen=False, looks=()), 0.0)
    base = _RESPLIT_ROWS * pace_.seconds_per_trial
    mine = _RESPLIT_ROWS * session.epochs * seconds_per_epoch(session, candidate, width=_PAIRS)
    full, least = (
        ending(session, seeds) + seeds * (mine + base) / _RESPLIT_ROWS
        for seeds in (pace_.seeds, min(pace_.seeds, _FEW_SEEDS))
    )
    assert session.left is not None
    left = session.left - least
    changes = len(candidate.changes(baseline))
    headline, single = 5 * (mine + base), 5 * mine
    screening = changes * single + base * 5 + single + math.ceil(0.7 * changes) * single
    if screening + headline + full - least < left:
        return Depth(Effort(screen=True, looks=LOOKS, reserve=least), full)
    if headline < left:
        return Depth(Effort(screen=False, looks=LOOKS, reserve=least), full)
    few: tuple[int, ...] = (3,) if 3 * (mine + base) < left else ()
    return Depth(Effort(screen=False, looks=few, reserve=least), full)


def extension(session: Session, pace_: Pace, baseline: Recipe, candidate: Recipe) -> float | None:
    """Returns a later deadline for the search if evidence on this candidate would leave time over."""
    if pace_.seconds_per_trial is None or not pace_.search.deadline:  # not timed, or no search
        return None
    base = pace_.seconds_per_trial
    mine = session.epochs * seconds_per_epoch(session, candidate, width=_PAIRS)
    changes = len(candidate.changes(baseline))
    evidence = (5 * changes + 10) * mine + 10 * base
    left = _for_evidence(session, pace_, mine)
    race_ = max(9 * base * _SLOWER_FINAL, _RACE_SHARE / (1 - _RACE_SHARE) * evidence)
    spare = left - evidence - race_
    assert session.budget is not None
    return session.ledger.elapsed + spare if spare > _WORTHWHILE * session.budget else None


def most_seeds(pace_: Pace, unchanged: bool, average: int) -> int:
    """Returns the seeds beyond which a final test gains nothing.

    Where the baseline is kept there is no gain to measure, but a bundle of models to fill.
    """
    return max(pace_.seeds, average) if unchanged else _MOST_SEEDS


def seeds(session: Session, pace_: Pace, unchanged: bool) -> int:
    """Returns the seeds of the final test that are trained first: those planned, or fewer.

    What a pair takes is known from other splits and another number of members only, and a machine
    can turn busy. So a round takes a part of the time left; `more_seeds` goes on from what it took.
    """
    if session.left is None or pace_.seconds_per_trial is None:
        return pace_.seeds
    recent = [t.seconds for t in session.ledger.trials("confirm") if t.steps > 0]
    each = pace_.seconds_per_trial * (1 + _SLOWER_FINAL) / 2
    if recent:
        each = sum(recent) / len(recent) / _RESPLIT_ROWS
    if unchanged:
        each = pace_.seconds_per_trial / 2
    return max(1, min(pace_.seeds, _affordable(session, 0, 2 * each)))


def more_seeds(session: Session, most: int, done: int, seconds: float) -> int:
    """Returns how many more seeds the final test gets, by what the last ones took (per seed)."""
    if session.left is None:
        return 0
    return max(0, min(most - done, _affordable(session, done, seconds)))


def _affordable(session: Session, done: int, per_seed: float) -> int:
    """Returns how many seeds fit a part of the time left; one if just one fits it all."""
    assert session.left is not None
    slowdown = _slowdown()
    left = session.left - (END_SECONDS + done * _bootstrap(session)) * slowdown
    per_seed += _bootstrap(session) * slowdown
    count = int(_ROUND_SHARE * left / max(per_seed, 1e-9))
    return 1 if count == 0 and per_seed < 0.9 * left else max(0, count)


def _for_evidence(session: Session, pace_: Pace, final: float) -> float:
    """Returns the seconds that are left for race and confirmation."""
    assert session.left is not None
    assert pace_.seconds_per_trial is not None
    test = pace_.seeds * (final + pace_.seconds_per_trial)
    return session.left - ending(session, pace_.seeds) - test
