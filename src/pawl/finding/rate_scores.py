"""The learning rate by cross-validation: a score with its interval at each rate of a grid."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

from pawl.errors import TaskError, option
from pawl.evidence import Comparison, Pairs, arm_of
from pawl.evidence.tests import comparison
from pawl.execution import Session
from pawl.finding.pictures import Mark, drawn
from pawl.recipe import Recipe

_FAR = 20.0
"""How many times the median distance from the best is drawn: what nearly diverged is off the picture."""


@dataclass(frozen=True)
class RateScored:
    """What a rate scored.

    Attributes:
        rate: The rate.
        score: Mean over the folds, in the metric's units.
        interval: Its 95% interval: Student's t over the folds, whose variance is corrected for the
            rows that their trainings share (Nadeau and Bengio 2003). Folds are taken to vary alike; with
            few of them it is wide.
        behind: How much better the best rate scored, paired by fold and row; 0 for that one.
        behind_interval: The 95% interval of that, not corrected for the number of rates.
        failed: Trainings that diverged or raised; each counts as a constant predictor.
        n: Folds.
    """

    rate: float
    score: float
    interval: tuple[float, float]
    behind: float
    behind_interval: tuple[float, float]
    failed: int
    n: int


@dataclass(frozen=True)
class RateScores:
    """What cross-validation found.

    Attributes:
        rates: What was tried, from the lowest rate to the highest.
        suggested: The rate with the best mean score.
        within_one_error: The lowest rate whose score is within one standard error of the best.
        metric: What is measured.
        direction: Whether more of it is better: `maximize` or `minimize`.
        folds: How many there are; each was held out once.
        epochs: Passes of a training over its rows, at most.
        optimizer: Whose rate it is.
        notes: What a reader should know.
    """

    rates: tuple[RateScored, ...]
    suggested: float
    within_one_error: float
    metric: str
    direction: str
    folds: int
    epochs: int
    optimizer: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Returns the scores as JSON."""
        return json.dumps({"what": "cross-validation", **asdict(self)}, indent=2)

    def picture(self) -> str:
        """Returns the scores over the rates as an SVG file's text."""
        marks = [
            Mark(each.rate, each.score, (each.interval[1] - each.interval[0]) / 2)
            for each in self.rates
        ]
        best = max(each.score for each in self.rates if each.rate == self.suggested)
        apart = statistics.median(abs(each.score - best) for each in self.rates)
        return drawn(
            marks, chosen=self.suggested, axis=f"learning rate of {self.optimizer}",
            bounds=(best - _FAR * apart, best + _FAR * apart),
            title=f"{self.metric} on the rows held out, {self.folds} folds, 95% intervals",
        )  # fmt: skip


def cross_validated(
    session: Session, recipe: Recipe, grid: Sequence[float], folds: int
) -> RateScores:
    """Trains each rate on the same folds and seeds and scores it on the rows held out.

    All of one structure: rates times folds are members of few populations.

    Raises:
        TaskError: There are too few rows for so many folds, or no training succeeded.
    """
    rows = torch.arange(len(session.problem.targets))
    pairs = Pairs(session, "rates", rows, folds)
    if pairs.folds < folds:
        raise TaskError(
            f"got {option('folds', folds)}, and these rows make {pairs.folds} folds at most; give fewer"
        )
    arms = {f"{rate:g}": recipe.with_(recipe.optimizer, learning_rate=rate) for rate in grid}
    session.listener.phase("rates", f"{len(grid)} rates on {folds} folds")
    pairs.run("folds", arms, range(folds))
    values = [[each.value for each in pairs.of(arm).values()] for arm in arms.values()]
    failed = [
        sum(one is None for one in pairs.judged[arm_of(arm).id].values()) for arm in arms.values()
    ]
    if all(count == folds for count in failed):
        reason = next(record.reason for record in pairs.records if record.reason)
        raise TaskError(f"no training succeeded ({reason}); give other rates")
    objective = session.problem.objective
    sign = objective.sign
    means = [sign * statistics.fmean(each) for each in values]
    best = max(range(len(grid)), key=lambda i: means[i])
    recipes = list(arms.values())
    scored = []
    for i, rate in enumerate(grid):
        behind = None if i == best else pairs.compare(recipes[best], recipes[i])
        scored.append(_scored(rate, values[i], behind, failed[i]))
    error = statistics.stdev(values[best]) / math.sqrt(folds)
    near = next(i for i in range(len(grid)) if means[i] >= means[best] - error)
    notes = []
    if best in (0, len(grid) - 1):
        which = "lowest" if best == 0 else "highest"
        notes.append(f"the {which} of the rates is the best: the best may lie beyond it")
    return RateScores(
        tuple(scored), grid[best], grid[near], objective.metric, objective.direction, folds,
        session.epochs, recipe.optimizer, tuple(notes),
    )  # fmt: skip


def _scored(
    rate: float, values: Sequence[float], behind: Comparison | None, failed: int
) -> RateScored:
    n, mean = len(values), statistics.fmean(values)
    # Each fold is tested on a share of 1 to n - 1 of what it was trained on.
    error = math.sqrt(statistics.variance(values) * (1 / n + 1 / (n - 1)))
    interval = comparison(mean, error, n, n - 1).interval
    if behind is None:
        return RateScored(rate, mean, interval, 0.0, (0.0, 0.0), failed, n)
    return RateScored(rate, mean, interval, behind.effect, behind.interval, failed, n)
