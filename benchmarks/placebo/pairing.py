"""What pairing on split and seed buys: the correlation of two arms, and what it does to the error."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from campaigns import frame

import pawl
from pawl import Recipe
from pawl.ledger import Ledger

PAIRS = 20


@dataclass(frozen=True)
class Pairing:
    """Two recipes on a data set: the default start, and the same with one technique."""

    table: str
    rows: int
    technique: str
    settings: dict[str, Any]


PAIRINGS = (
    Pairing("adult", 2000, "batch_norm", {}),
    Pairing("adult", 2000, "width", {"factor": 2.0}),
    Pairing("beijing", 2000, "dropout", {"rate": 0.1}),
    Pairing("wine", 1599, "ema", {}),
    Pairing("wine", 1599, "depth", {"layers": 3}),
    Pairing("adult", 800, "placebo_even", {}),
)


def measure(pairing: Pairing) -> dict[str, Any]:
    """Compares the arms in 20 pairs and returns how they vary together."""
    rows, target = frame(pairing.table)
    order = np.random.default_rng(5).permutation(len(rows))[: pairing.rows]
    start = Recipe.of(
        standardize={}, batch_size={"size": 128}, adamw={"learning_rate": 1e-3}, early_stopping={}
    )
    other = start.with_(pairing.technique, **pairing.settings)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "compare"
        compared = pawl.compare(
            rows.iloc[order].reset_index(drop=True), start, other, target=target, out=folder,
            looks=(PAIRS,), epochs=20, seed=5,
        )  # fmt: skip
        with Ledger.open(folder) as ledger:
            trials = ledger.trials("compare")
    arms = {
        recipe.id: {int(t.split.split()[1]): t.holdout for t in trials if t.recipe_id == recipe.id}
        for recipe in (start, other)
    }
    a, b = ([scores[p] for p in range(PAIRS)] for scores in arms.values())
    unpaired = statistics.variance(a) + statistics.variance(b)
    paired = statistics.variance([y - x for x, y in zip(a, b, strict=True)])
    return {
        "part": "pairing",
        "table": pairing.table,
        "rows": pairing.rows,
        "technique": pairing.technique,
        "metric": compared.metric,
        "pairs": PAIRS,
        "effect": compared.comparison.effect,
        "correlation": statistics.correlation(a, b),
        "error_ratio": (paired / unpaired) ** 0.5,
    }
