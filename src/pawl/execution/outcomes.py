"""What became of a member: why it failed, its share of the time, its entry in the ledger."""

from __future__ import annotations

from dataclasses import replace

import torch

from pawl.errors import first_line
from pawl.ledger import TrialRecord
from pawl.training.population import Member
from pawl.training.run import Outcome


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
