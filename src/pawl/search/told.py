"""A trial of the ledger as samplers see it."""

from __future__ import annotations

from pawl.ledger import TrialRecord
from pawl.search.protocols import TrialResult


def told(trial: TrialRecord, sign: float) -> TrialResult:
    """Returns a trial of a search as its sampler is told; larger scores are better.

    Args:
        trial: Of the search.
        sign: 1 where larger scores of the metric are better, else -1.
    """
    score = None if trial.score is None else sign * trial.score
    return TrialResult(
        trial.extra["params"], score, len(trial.curve) if trial.status == "pruned" else None
    )
