"""How many wrong labels of two classes can be told from hard rows at all, by someone who knows all else.

    python benchmarks/wrong_labels.py

Rows have `f`, a normal deviate times a slope, and a label that is 1 with the odds `exp(f)`; 30% of the
labels are then flipped. Whoever knows `f` up to its slope compares two explanations by likelihood: rows
that are hard (another slope), and labels that are wrong with a chance of their own (Copas, Binary
Regression Models for Contaminated Data, 1988). Critical values are those of right labels that are as
hard to tell as the flipped ones look. A rule has to learn `f` from the same rows, and can only do worse.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

RESULTS = Path(__file__).parent / "results"
Floats = NDArray[np.float64]
_FLIPPED, _LEVEL, _ROWS = 0.3, 0.05, 600
_SLOPES, _SHARES = np.geomspace(0.05, 20.0, 60), np.linspace(0.0, 0.45, 19)


def likelihoods(f: Floats, labels: NDArray[np.bool_]) -> Floats:
    """Returns log likelihoods by share of wrong labels and slope, `[19, 60]`."""
    signed = np.where(labels, f, -f)
    right = expit(_SLOPES[:, None] * signed)
    mixed = [log_expit(_SLOPES[:, None] * signed)]
    mixed += [np.log(share + (1.0 - 2.0 * share) * right) for share in _SHARES[1:]]
    return np.stack(mixed).sum(-1)


def ratio(f: Floats, labels: NDArray[np.bool_]) -> tuple[float, float]:
    """Returns twice the log likelihood ratio, and the slope of right labels that fits best."""
    found = likelihoods(f, labels)
    return 2.0 * float(found.max() - found[0].max()), float(_SLOPES[found[0].argmax()])


def power(slope: float, rows: int, repeats: int, random: np.random.Generator) -> dict[str, Any]:
    """Returns in how many draws flipped labels are told from hard rows, and what right ones explain."""
    flipped, hard, explained = [], [], []
    for _ in range(repeats):
        f = random.normal(size=rows)
        labels = random.random(rows) < expit(slope * f)
        likely = log_expit(slope * np.where(labels, f, -f)).mean()
        explained.append(1.0 + float(likely) / np.log(2.0))
        value, fits = ratio(f, labels ^ (random.random(rows) < _FLIPPED))
        flipped.append(value)
        hard.append(ratio(f, random.random(rows) < expit(fits * f))[0])
    limit = float(np.quantile(hard, 1.0 - _LEVEL))
    return {"slope": slope, "rows": rows, "draws": repeats,
            "right labels explain": round(float(np.mean(explained)), 3),
            "power": round(float(np.mean(np.array(flipped) > limit)), 3)}  # fmt: skip


def main() -> None:
    """Writes the powers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=200, help="of each case")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    found = [power(slope, _ROWS, options.draws, random) for slope in (1.5, 2.5, 4.0)]
    told = {"flipped": _FLIPPED, "level": _LEVEL, "cases": found}
    out = RESULTS / "wrong_labels.json"
    out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
