"""What a report is made of: the summary, the trials, the curves and the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pawl.report.summary import Summary

TrialStatus = Literal["completed", "pruned", "stopped", "diverged", "failed", "infeasible"]
ArmName = Literal["baseline", "final"]


@dataclass(frozen=True, kw_only=True)
class TrialPoint:
    """One trial of the search.

    Attributes:
        number: Its place in the order of the search.
        generation: The generation that it was trained in.
        status: How it ended. `pruned` and `stopped` trials may carry the score they had reached.
        score: The validation score in the metric's own units, whatever the direction.
        steps: Optimizer steps taken.
        recipe: A short text of what differs from the baseline.
        seconds: When it ended, counted from the start of the campaign.
    """

    number: int
    generation: int
    status: TrialStatus
    score: float | None
    steps: int
    recipe: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One measurement on the way of one seed of one arm; `valid_score` in the metric's units.

    There is no score where all rows are trained on.
    """

    arm: ArmName
    seed: int
    step: int
    train_loss: float
    valid_score: float | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the page shows.

    Attributes:
        summary: What `summary.json` holds.
        trials: The search, in any order; may be empty.
        curves: The training curves of both arms, in any order; may be empty.
        recipe_toml: The text of the bundle's `recipe.toml`.
    """

    summary: Summary
    trials: tuple[TrialPoint, ...]
    curves: tuple[CurvePoint, ...]
    recipe_toml: str
