"""Plain records that the ledger keeps."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One training, as it ended.

    Attributes:
        phase: The campaign's phase that asked for it (`search`, `screen`, `confirm`, `test`, ...).
        role: What it was for, for people: a generation, or an arm and a pair; `extra` has identifiers.
        recipe: The recipe's tables.
        recipe_id: The recipe's id.
        seed: Its seed.
        split: Name of its split.
        epochs: Planned passes over the training rows.
        status: `completed`, `stopped`, `pruned`, `diverged`, `failed` or `infeasible`.
        score: Validation score that counted, in the metric's units; `None` if there is none.
        holdout: Score on rows that neither training nor stopping saw; `None` if not asked for.
        steps: Steps taken.
        seconds: Its share of the time.
        predicting: Seconds that predictions of a row took, where they were timed.
        reason: Why it failed, or was pruned.
        curve: `[step, training loss, validation score]` per evaluation.
        extra: What the phase wants back when it resumes (search parameters, rungs).
        layers: What instruments read of its layers (`pawl.training.instruments`); when they do is a
            matter of time, and nothing depends on it.
    """

    phase: str
    role: str
    recipe: dict[str, dict[str, Any]]
    recipe_id: str
    seed: int
    split: str
    epochs: int
    status: str
    score: float | None
    holdout: float | None = None
    steps: int = 0
    seconds: float = 0.0
    predicting: float = 0.0
    reason: str = ""
    curve: list[list[float | None]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    layers: dict[str, Any] = field(default_factory=dict)

    def timeless(self) -> dict[str, Any]:
        """Returns what no clock decides, as `to_dict` does."""
        return self.to_dict() | {"seconds": None, "predicting": None, "layers": None}

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as JSON-ready values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Unit:
    """A finished piece of a campaign: its result and the trials it took.

    `elapsed` counts the campaign's seconds until it was done.
    """

    key: str
    phase: str
    payload: dict[str, Any]
    trials: tuple[TrialRecord, ...]
    seconds: float
    elapsed: float = field(default=0.0, compare=False)
