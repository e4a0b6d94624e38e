"""The final gain: what a difference over test rows and seeds is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pawl import rng
from pawl.errors import TaskError
from pawl.evidence.tests import Comparison, comparison
from pawl.task import Objective
from pawl.training.metrics import score


@dataclass(frozen=True)
class TestGain:
    """A gain on the test rows.

    Attributes:
        gain: Final minus baseline over seeds; positive is better.
        baseline: Mean over seeds, and the 95% interval, over rows, of what the first models predict by
            their mean.
        final: Likewise.
    """

    __test__ = False  # not a pytest class

    gain: Comparison
    baseline: tuple[float, tuple[float, float]]
    final: tuple[float, tuple[float, float]]


def gain_on_test(
    objective: Objective,
    baseline: Tensor,
    final: Tensor,
    targets: Tensor,
    *,
    seed: int,
    draws: int = 1000,
    averaged: int = 1,
) -> TestGain:
    """Measures a gain on test rows that no choice has seen, over paired seeds.

    Rows and seeds are crossed, so the variance of the mean has three parts: rows, seeds, and what a
    seed does to single rows. The bootstrap over rows (the same rows for all models) measures the first
    and the third, the sample variance over seeds, divided by their number, the second and the third;
    their sum less the third is the error (Owen 2007, section 3, on resampling crossed effects). The
    third is what one seed's bootstrap varies more than the mean's. The degrees of freedom follow Welch
    and Satterthwaite.

    Assumptions: rows are independent draws; the mean difference is roughly normal. The interval is
    for these development rows: other training sets are not part of it.

    Args:
        objective: The metric.
        baseline: Predictions of the baseline, one model per seed, `[S, R, C]` or `[S, R]`.
        final: Predictions of the final recipe for the same seeds.
        targets: `[R]`.
        seed: Of the bootstrap.
        draws: Bootstrap draws (a tenth with a metric function of the user's, which is slow).
        averaged: Of how many of the first seeds' models the arms' own intervals are.
    """
    sign, seeds, rows = objective.sign, len(baseline), len(targets)
    differences = sign * (score(objective, final, targets) - score(objective, baseline, targets))
    generator = torch.Generator().manual_seed(rng.derive_seed("bootstrap", seed))
    arms = [
        torch.cat([arm, arm[:averaged].mean(0, keepdim=True)]) if averaged > 1 else arm
        for arm in ([baseline] if torch.equal(baseline, final) else [baseline, final])
    ]
    boots: list[list[Tensor]] = [[] for _ in arms]
    left = draws if objective.function is None else max(100, draws // 10)
    chunk = max(1, min(left, 2_000_000 // max(1, rows)))
    while left > 0:
        size = min(chunk, left)
        picked = torch.randint(rows, (size, rows), generator=generator)
        weights = torch.zeros(size, rows).scatter_add_(1, picked, torch.ones(size, rows))
        # Built-in metrics broadcast, and so sort the rows once for all draws.
        lead = 1 if objective.function is None else size
        for drawn, predictions in zip(boots, arms, strict=True):
            drawn.append(
                torch.stack(
                    [score(objective, p, targets, weights) for p in _spread(predictions, lead)]
                )
            )
        left -= size
    bootstrap_b, bootstrap_f = (torch.cat(drawn, 1) for drawn in (boots[0], boots[-1]))
    by_rows = sign * (bootstrap_f[:seeds] - bootstrap_b[:seeds])
    own = seeds if averaged > 1 else 0
    if int(by_rows.mean(0).isfinite().sum()) < 2:
        raise TaskError(
            f"the metric {objective.metric!r} is not a number on resamples of the {rows} test rows; "
            "give more test rows"
        )
    error, degrees = crossed_error(differences, by_rows, rows)
    return TestGain(
        gain=comparison(float(differences.mean()), error, seeds, degrees),
        baseline=(
            float(score(objective, baseline, targets).mean()),
            _percentiles(bootstrap_b[own]),
        ),
        final=(float(score(objective, final, targets).mean()), _percentiles(bootstrap_f[own])),
    )


def crossed_error(differences: Tensor, bootstrap: Tensor, rows: int) -> tuple[float, float]:
    """Returns the standard error of a mean over seeds and rows, and its degrees of freedom.

    Args:
        differences: Of each seed on all rows, `[S]`.
        bootstrap: Of each seed on resampled rows, the same for all seeds, `[S, draws]`.
        rows: Number of rows.
    """
    seeds = len(differences)
    bootstrap = bootstrap[:, bootstrap.isfinite().all(0)].double()
    by_rows = float(bootstrap.mean(0).var())
    if seeds == 1:
        return math.sqrt(by_rows), max(1, rows - 1)
    by_seeds = float(differences.double().var()) / seeds
    both = max(0.0, float(bootstrap.var(1).mean()) - by_rows) / (seeds - 1)
    # What is counted twice cannot be more than either part.
    variance = by_rows + by_seeds - min(both, by_rows, by_seeds)
    spread = by_rows**2 / max(1, rows - 1) + by_seeds**2 / (seeds - 1)
    return math.sqrt(variance), max(1.0, variance**2 / spread) if spread > 0 else max(1, rows - 1)


def _spread(predictions: Tensor, size: int) -> list[Tensor]:
    """Returns each seed's predictions with a leading axis for the draws, not copied."""
    return [p.unsqueeze(0).expand(size, *p.shape) for p in predictions]


def _percentiles(values: Tensor) -> tuple[float, float]:
    values = values[values.isfinite()]
    low, high = torch.quantile(values.double(), torch.tensor([0.025, 0.975], dtype=torch.float64))
    return float(low), float(high)
