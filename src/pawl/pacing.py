"""How a campaign shares its budget: length of a trial, size of the search, depth of the evidence.

With a budget in seconds, sizes follow from timings and are written to the ledger as decisions. With a
number of trials they follow from rules alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pawl.errors import BudgetError
from pawl.evidence import Effort
from pawl.execution import Session, seconds_per_epoch
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe
from pawl.search import SearchPlan

END_SECONDS = 9.0
"""Export of two models, latency, report; measured at 5 to 8 on two cores."""
_STEPS = 3000
_MIN_EPOCHS, _MAX_EPOCHS, _MAX_IMAGE_EPOCHS = 8, 150, 20
_LARGE_ROW = 1024
_WANTED_TRAININGS, _FEWEST_TRAININGS = 70, 26
_SEARCH_SHARE = 0.5
_GENERATIONS = 8
_COST_PER_CONFIGURATION = 0.3  # of a full training, with two rungs and a reduction of 3
_SLOWER_FINAL = 1.6  # how much longer a final recipe trains than a baseline, as planned for


@dataclass(frozen=True)
class Pace:
    """Sizes that are fixed before the search.

    Attributes:
        epochs: Passes of a full trial over its training rows.
        seconds_per_trial: Of the baseline, in a population; `None` when nothing is timed.
        search: Size of the search.
        seeds: Paired seeds of the final test.
    """

    epochs: int
    seconds_per_trial: float | None
    search: SearchPlan
    seeds: int


def natural_epochs(session: Session) -> int:
    """Returns the passes that give about 3,000 steps at a batch of 128, within limits."""
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


def _timed_pace(session: Session, baseline: Recipe) -> dict[str, object]:
    per_epoch = seconds_per_epoch(session, baseline, width=16)
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
    seeds = 5 if left > 2 * _WANTED_TRAININGS * per_trial / 3 else 3
    test = 2 * seeds * per_trial * _SLOWER_FINAL
    searching = _SEARCH_SHARE * (left - test)
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
        return (3, 3) if len(trials) >= 16 else (2, 2)  # noqa: PLR2004
    left = _for_evidence(session, pace_)
    per_trial = pace_.seconds_per_trial * _SLOWER_FINAL
    for count, pairs in ((4, 4), (3, 3), (2, 3)):
        if (count + 1) * pairs * per_trial < 0.2 * left:
            return count, pairs
    return 1, 0


def effort(
    session: Session, pace_: Pace, baseline: Recipe, candidate: Recipe,
    trials: Sequence[TrialRecord],
) -> Effort:
    """Returns how deep the confirmation goes: the deepest that fits the time left."""
    if pace_.seconds_per_trial is None:
        looks = (5,) if len(trials) < 16 else (5, 10) if len(trials) < 64 else (5, 10, 20)  # noqa: PLR2004
        return Effort(screen=True, ablate=True, looks=looks)
    left = _for_evidence(session, pace_)
    per_trial = _training_seconds(pace_, candidate, trials)
    changes = len(candidate.changes(baseline))
    remaining = max(1, round(0.6 * changes))
    for screen, ablate, looks in (
        (True, True, (5, 10, 20)),
        (True, True, (5, 10)),
        (True, True, (5,)),
        (False, True, (5,)),
        (False, False, (5, 10)),
        (False, False, (5,)),
        (False, False, (3,)),
    ):
        arms = 2 + ((remaining if screen else changes) if ablate else 0)
        trainings = looks[-1] * arms + (5 * (changes + 3) if screen else 0)
        if trainings * per_trial < left:
            return Effort(screen, ablate, looks)
    return Effort(screen=False, ablate=False, looks=())


def reserve(pace_: Pace, candidate: Recipe, trials: Sequence[TrialRecord]) -> float:
    """Returns the seconds to leave for the test phase, export and report."""
    if pace_.seconds_per_trial is None:
        return 0.0
    mine = _training_seconds(pace_, candidate, trials)
    return END_SECONDS + pace_.seeds * (mine + pace_.seconds_per_trial) * 1.25


def _for_evidence(session: Session, pace_: Pace) -> float:
    assert session.left is not None and pace_.seconds_per_trial is not None
    return session.left - max(
        session.reserve, END_SECONDS + 2 * pace_.seeds * pace_.seconds_per_trial * _SLOWER_FINAL
    )


def _training_seconds(pace_: Pace, recipe: Recipe, trials: Sequence[TrialRecord]) -> float:
    """Returns what a training of a recipe takes, by the longest of its structure's full trials."""
    mine = [
        t.seconds
        for t in trials
        if t.status in ("completed", "stopped")
        and Recipe.from_dict(t.recipe).structure == recipe.structure
    ]
    assert pace_.seconds_per_trial is not None
    return max(mine, default=pace_.seconds_per_trial * _SLOWER_FINAL)
