"""How often a compressed model passes that loses exactly what is allowed, by accuracy.

    python benchmarks/non_inferiority.py > benchmarks/results/non_inferiority.json

Paired rows: a share turns wrong, another right, and their difference is the margin. Bounds: the usual
one (variance of the differences, `t`), and that of `pawl.compression.Judge`; the first draws of each
case are given to `Judge` itself, which must agree. A share above 5% is a rate that is not kept.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import torch
from scipy import stats

from pawl.compression import Judge
from pawl.data.types import Examples
from pawl.environment import hardware, versions
from pawl.options.amounts import MaxLoss
from pawl.training.metrics import make_objective

DRAWS, CHECKED = 200_000, 20
CASES = [
    (rows, lost, won)
    for rows in (200, 300, 1000, 3000)
    for lost, won in ((0.03, 0.01), (0.02, 0.0), (0.01, 0.0), (0.05, 0.04))
]


def case(rows: int, lost: float, won: float, generator: np.random.Generator) -> dict[str, Any]:
    """Draws how many rows turn wrong and right, and counts who passes."""
    margin, t = lost - won, float(stats.t.ppf(0.95, rows - 1))
    turned = generator.multinomial(rows, [lost, won, 1 - lost - won], DRAWS)
    loss = (turned[:, 0] - turned[:, 1]) / rows
    variance = ((turned[:, 0] + turned[:, 1]) / rows - loss**2) / (rows - 1)
    step = np.sqrt(rows / (rows - 1)) / rows
    half = loss + t * t * step / 2
    usual = loss + t * np.sqrt(variance)
    ours = loss + t * np.sqrt(variance + 2 * step**2)
    under = half**2 - loss**2 + 2 * (t * step) ** 2
    ours = np.where(under >= 0, np.maximum(ours, half + np.sqrt(np.maximum(under, 0))), ours)
    for wrong, right, bound in zip(*turned[:CHECKED, :2].T, ours[:CHECKED], strict=True):
        np.testing.assert_allclose(judged(rows, int(wrong), int(right)), bound, rtol=1e-6)
    return {
        "rows": rows, "lost": lost, "won": won, "margin": round(margin, 6),
        "usual": float((usual < margin).mean()), "ours": float((ours < margin).mean()),
    }  # fmt: skip


def judged(rows: int, wrong: int, right: int) -> float:
    """Returns the bound that `Judge` gives: half of the rows are right before."""
    before = np.arange(rows) % 2
    after = before.copy()
    after[np.flatnonzero(before == 1)[:wrong]] = 0
    after[np.flatnonzero(before == 0)[:right]] = 1
    targets = torch.ones(rows, dtype=torch.int64)
    told = [np.eye(2, dtype=np.float32)[labels] for labels in (before, after)]
    objective = make_objective("accuracy", None, "binary")
    judge = Judge(objective, Examples({"x": targets}, targets), told[0], MaxLoss(0.02, False))
    return judge(told[1]).at_most


def main() -> None:
    """Prints all cases."""
    generator = np.random.default_rng(1)
    found = [case(*each, generator) for each in CASES]
    about = {"draws": DRAWS, "level": 0.95, "hardware": hardware(), "versions": versions()}
    json.dump({**about, "cases": found}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
