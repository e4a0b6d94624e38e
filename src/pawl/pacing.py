"""How a campaign shares its budget: length of a trial, size of the search, depth of the evidence.

With a budget in seconds, sizes follow from timings and are written to the ledger as decisions. With a
number of trials they follow from rules alone.
"""

from __future__ import annotations

import math
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
"""Export of two models, latency, report; measured at 5 to 8 on two cores."""
_STEPS = 3000
_MIN_EPOCHS, _MAX_EPOCHS, _MAX_IMAGE_EPOCHS = 8, 150, 20
_LARGE_ROW = 1024
_WANTED_TRAININGS, _FEWEST_TRAININGS = 90, 26
_SEARCH_SHARE = 0.5
_GENERATIONS = 6
_TEST_SHARE = 0.15
_COST_PER_CONFIGURATION = 0.5  # of a full training, with two rungs and a reduction of 3
_SLOWER_FINAL = 1.6  # how much longer a final recipe trains than a baseline, as planned for
_PAIRS = 5
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
        BudgetError: The budget does not hold a handful of the shortest trainings.
    """
    if trials is not None:
        quota = max(2, min(32, trials // 5))
        plan = SearchPlan(width=math.ceil(quota / 2), quota=quota, trials=trials, deadline=None)
        return Pace(natural_epochs(session), None, plan, seeds=5)
    decided = session.ledger.decide("pace", lambda: _timed_pace(session, baseline))
    return Pace(**{**decided, "search": SearchPlan(**decided["search"])})


def _timed_pace(session: Session, baseline: Recipe) -> dict[str, Any]:
    per_epoch = seconds_per_epoch(session, baseline, width=_PAIRS)
    assert session.left is not None
    left = session.left - END_SECONDS
    epochs = 0
    for trainings in (_WANTED_TRAININGS, _FEWEST_TRAININGS):
        epochs = int(left / (trainings * per_epoch))
        if epochs >= _MIN_EPOCHS:
            break
    epochs = min(epochs, natural_epochs(session))
    if epochs < 1:
        need = END_SECONDS + _FEWEST_TRAININGS * per_epoch + session.ledger.elapsed
        raise BudgetError(
            f"a budget of {session.budget:.0f}s is too short for this data: one pass over the rows "
            f"takes {per_epoch:.1f}s, a campaign of the shortest trainings about {need:.0f}s; give "
            f"--budget {math.ceil(need)}s or more"
        )
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


def finalists(session: Session, pace_: Pace, trials: Sequence[TrialRecord]) -> tuple[int, int]:
    """Returns how many recipes go into the race, and on how many pairs (one recipe: no race)."""
    if pace_.seconds_per_trial is None:
        return (3, 3) if len(trials) >= 16 else (2, 2)
    left = _for_evidence(session, pace_, pace_.seconds_per_trial * _SLOWER_FINAL)
    per_trial = pace_.seconds_per_trial * _SLOWER_FINAL
    for count, pairs in ((4, 4), (3, 3), (2, 3)):
        if (count + 1) * pairs * per_trial < 0.3 * left:
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
    base = _RESPLIT_ROWS * pace_.seconds_per_trial
    mine = _RESPLIT_ROWS * session.epochs * seconds_per_epoch(session, candidate, width=_PAIRS)
    after = END_SECONDS + pace_.seeds * (mine + base) / _RESPLIT_ROWS
    assert session.left is not None
    left = session.left - after
    changes = len(candidate.changes(baseline))
    headline, single = 5 * (mine + base), 5 * mine
    if changes * single + base * 5 + single + headline + math.ceil(0.7 * changes) * single < left:
        return Depth(Effort(screen=True, looks=LOOKS), after)
    if headline < left:
        return Depth(Effort(screen=False, looks=LOOKS), after)
    return Depth(Effort(screen=False, looks=(3,) if 3 * (mine + base) < left else ()), after)


def extension(session: Session, pace_: Pace, baseline: Recipe, candidate: Recipe) -> float | None:
    """Returns a later deadline for the search if evidence on this candidate would leave time over."""
    if pace_.seconds_per_trial is None:
        return None
    base = pace_.seconds_per_trial
    mine = session.epochs * seconds_per_epoch(session, candidate, width=_PAIRS)
    changes = len(candidate.changes(baseline))
    race_ = 9 * base * _SLOWER_FINAL
    evidence = (5 * changes + 10) * mine + 10 * base
    spare = _for_evidence(session, pace_, mine) - evidence - race_
    assert session.budget is not None
    return session.ledger.elapsed + spare if spare > _WORTHWHILE * session.budget else None


def seeds(session: Session, pace_: Pace) -> int:
    """Returns the seeds of the final test: those planned, or fewer (2 at least) if time is short."""
    if session.left is None:
        return pace_.seeds
    recent = [t.seconds for t in session.ledger.trials("confirm") if t.steps > 0]
    if not recent:
        return pace_.seeds
    per_pair = 2 * sum(recent) / len(recent) / _RESPLIT_ROWS
    return max(2, min(pace_.seeds, int((session.left - END_SECONDS) / per_pair)))


def _for_evidence(session: Session, pace_: Pace, final: float) -> float:
    """Returns the seconds that are left for race and confirmation."""
    assert session.left is not None
    assert pace_.seconds_per_trial is not None
    return session.left - END_SECONDS - pace_.seeds * (final + pace_.seconds_per_trial)
