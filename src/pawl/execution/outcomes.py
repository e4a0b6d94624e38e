"""What became of a member: why it failed, its share of the time, its entry in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import get_args

import torch

from pawl.errors import first_line
from pawl.ledger import TrialRecord
from pawl.training.population import Member
from pawl.training.run import Outcome, Point, Status


def failed(member: Member, reason: str) -> Outcome:
    """Returns the outcome of a member that could not be trained."""
    return Outcome(
        member=member,
        status="failed",
        score=None,
        steps=0,
        curve=(),
        seconds=0.0,
        reason=reason,
    )


def out_of_memory(error: Exception) -> bool:
    """Tells whether memory ran out; on a CPU, PyTorch says so by a plain `RuntimeError`."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "not enough memory" in str(error)
    )


def reason_of(error: Exception) -> str:
    """Returns why a trial failed that raised this, in one line."""
    if out_of_memory(error):
        return "out of memory"
    return f"{type(error).__name__}: {first_line(error)}"


_WORST_FIRST = ("failed", "diverged", "infeasible", "pruned", "completed", "stopped")
assert set(_WORST_FIRST) == set(get_args(Status))


def over_folds(outcomes: Sequence[Outcome]) -> Outcome:
    """Returns how one recipe's trainings on several folds ended, as if they were one.

    Scores are their mean, as are curves up to where the first one ended; there is none if a fold has
    none. Steps and seconds are sums, and the status is the worst.
    """
    if len(outcomes) == 1:
        return outcomes[0]
    worst = min(outcomes, key=lambda each: _WORST_FIRST.index(each.status))
    scores = [each.score for each in outcomes if each.score is not None]
    return replace(
        outcomes[0],
        status=worst.status,
        score=fmean(scores) if len(scores) == len(outcomes) else None,
        steps=sum(each.steps for each in outcomes),
        seconds=sum(each.seconds for each in outcomes),
        predicting=fmean(each.predicting for each in outcomes),
        reason=worst.reason,
        curve=tuple(
            Point(at[0].step, fmean(p.train_loss for p in at), fmean(p.valid_score for p in at))
            for at in zip(*(each.curve for each in outcomes), strict=False)
        ),
        weights=None,
        buffers={},
    )


def shared(outcome: Outcome, workers: int) -> Outcome:
    """Returns an outcome with its share of the time that all workers took together."""
    return replace(outcome, seconds=outcome.seconds / workers)


def record_of(
    outcome: Outcome,
    phase: str,
    role: str,
    split: str,
    *,
    holdout: float | None = None,
    extra: dict[str, object] | None = None,
) -> TrialRecord:
    """Returns an outcome as the ledger keeps it."""
    member = outcome.member
    return TrialRecord(
        phase=phase,
        role=role,
        recipe=member.recipe.to_dict(),
        recipe_id=member.recipe.id,
        seed=member.seed,
        split=split,
        epochs=member.epochs,
        status=outcome.status,
        score=outcome.score,
        holdout=holdout,
        steps=outcome.steps,
        seconds=outcome.seconds,
        predicting=outcome.predicting,
        reason=outcome.reason,
        curve=[[p.step, _finite(p.train_loss), _finite(p.valid_score)] for p in outcome.curve],
        extra=extra or {},
        layers=outcome.layers.to_dict(),
    )


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
