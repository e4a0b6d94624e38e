"""At the end of the search: whether it goes on, where the evidence will leave time over."""

from __future__ import annotations

from collections.abc import Sequence

from pawl.evidence import LOOKS
from pawl.execution import Session, seconds_per_epoch
from pawl.ledger import TrialRecord
from pawl.pacing.end import SLOWER_FINAL
from pawl.pacing.racing import RACE_SHARE, for_evidence, seconds_of_blend
from pawl.pacing.sizes import PAIRS, PAIRS_OF_LONGER, Pace, is_few, long_enough
from pawl.recipe import Recipe

_RACE_TRAININGS = 35
"""That a longer search leaves time for: six recipes and the baseline, five pairs."""
_RACE_OF_FEW = 9
"""The same where trainings are few: three recipes, three splits."""
_WORTHWHILE = 0.08
_SLOWEST_FINAL = 2.0
"""So much longer than the baseline a candidate may train that is yet to come."""


def extension(
    session: Session,
    pace_: Pace,
    baseline: Recipe,
    candidate: Recipe,
    trials: Sequence[TrialRecord] = (),
) -> float | None:
    """Returns a later deadline for the search if all looks at a candidate would leave time over.

    What is best at the end of the search may train longer than what is best now. Where trainings are
    few, a race of three and one look are planned for, of longer ones if the search's are short (see
    `lengthened`).

    Args:
        session: The campaign's.
        pace_: Its sizes.
        baseline: What networks are searched from.
        candidate: What is best now. A learner is planned for as the blend that it would be part of.
        trials: All so far.
    """
    if pace_.seconds_per_trial is None or not pace_.search.deadline:  # not timed, or no search
        return None
    base = pace_.seconds_per_trial
    if candidate.learner:
        mine, changes = seconds_of_blend(session, trials), 0
    else:
        mine = session.epochs * seconds_per_epoch(session, candidate, width=PAIRS)
        changes = len(candidate.changes(baseline))
    if is_few(session, pace_) and not candidate.learner:
        longer = max(1.0, long_enough(session) / pace_.epochs)
        mine = max(mine, SLOWER_FINAL * base)  # one that is slower yet gets shorter trainings
        evidence, race = PAIRS_OF_LONGER * longer * (mine + base), _RACE_OF_FEW * longer * mine
    else:
        mine = max(mine, _SLOWEST_FINAL * base)
        evidence = LOOKS[-1] * (mine + base) + LOOKS[0] * changes * mine
        race = _RACE_TRAININGS * base * SLOWER_FINAL
        race = max(race, RACE_SHARE / (1 - RACE_SHARE) * evidence)
    left = for_evidence(session, pace_, mine)
    spare = left - evidence - race
    assert session.clock.budget is not None
    return session.ledger.elapsed + spare if spare > _WORTHWHILE * session.clock.budget else None
