"""What rules for which recipe to deliver come to, for `deliver.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

Record = dict[str, Any]
Rule = Callable[[Record], bool]
THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99)
REFERENCES = ("baseline unless proven", "always the candidate")
_DRAWS = 4000


def _likely(threshold: float) -> Rule:
    return lambda record: record["proven"] or record["likelihood"] > threshold


RULES: dict[str, Rule] = {
    REFERENCES[0]: lambda record: record["proven"],
    REFERENCES[1]: lambda _: True,
    **{f"likelihood above {threshold:g}": _likely(threshold) for threshold in THRESHOLDS},
}


def evaluate(records: list[Record]) -> dict[str, Any]:
    """Returns every rule's rank, regret and share of deliveries that are worse than the baseline.

    - `rank`: of what is delivered among the two arms: 1 the better, 2 the worse, 1.5 if they are equal.
    - `regret`: by how much the better arm's error exceeds that of what is delivered, in percent of the
      case's mean error of the baseline (1 minus a score whose best is 1; the value of a loss).
    - `regret_by_spread`: the same difference over the mean absolute difference between the arms in
      campaigns of the same case, so that every case weighs the same.
    - `over NAME`: error that the rule saves over a reference rule, in percent likewise.

    All are means with 95% bootstrap intervals, over data sets and within them over campaigns.

    Args:
        records: Of the campaigns; those without a comparison deliver the baseline under any rule.
    """
    ended = _with_saved([record for record in records if "error" not in record])
    compared = [record for record in ended if record["likelihood"] is not None]
    found: dict[str, Any] = {
        "n": len(ended),
        "compared": len(compared),
        "candidate": dict(
            Counter(
                "equal" if r["saved"] == 0.0 else "better" if r["saved"] > 0.0 else "worse"
                for r in compared
            )
        ),
        "failed": [f"{r['case']} {r['seed']}: {r['error']}" for r in records if "error" in r],
        "cases": _cases(ended),
    }
    if not compared:
        return found
    groups = [
        np.array([i for i, r in enumerate(ended) if r["data"] == name])
        for name in sorted({r["data"] for r in ended})
    ]
    generator = np.random.default_rng(0)
    draws = [_draw(groups, generator) for _ in range(_DRAWS)]
    saved = np.array([r["saved"] for r in ended])
    spread = {
        case: float(np.mean([abs(r["saved"]) for r in ended if r["case"] == case])) or 1.0
        for case in {r["case"] for r in ended}
    }
    scale = np.array([spread[r["case"]] for r in ended])
    takes = {
        name: np.array([r["likelihood"] is not None and rule(r) for r in ended])
        for name, rule in RULES.items()
    }

    def told(values: np.ndarray) -> dict[str, Any]:
        low, high = np.quantile([values[rows].mean() for rows in draws], [0.025, 0.975])
        return {
            "mean": round(float(values.mean()), 4),
            "interval": [round(float(low), 4), round(float(high), 4)],
        }

    found["rules"] = {}
    for name, taken in takes.items():
        regret = np.where(taken, np.maximum(-saved, 0.0), np.maximum(saved, 0.0))
        better = np.where(taken, saved, -saved)
        found["rules"][name] = {
            "candidates_delivered": int(taken.sum()),
            "rank": told(1.5 - 0.5 * np.sign(better)),
            "regret": told(100.0 * regret),
            "regret_by_spread": told(regret / scale),
            "worse_than_baseline": told(taken & (saved < 0.0)),
            "better_than_baseline": told(taken & (saved > 0.0)),
            **{
                f"over {reference}": told(
                    100.0 * saved * (taken.astype(float) - takes[reference].astype(float))
                )
                for reference in REFERENCES
                if reference != name
            },
        }
    return found


def _error(record: Record) -> float:
    """Returns the baseline's error on the test rows: what a score lacks to 1, or the value of a loss."""
    baseline = float(record["baseline"])
    return 1.0 - baseline if record["direction"] == "maximize" else baseline


def _with_saved(records: list[Record]) -> list[Record]:
    """Adds how much of the error the candidate saves on the test rows, as `saved`.

    As a part of the case's mean error of the baseline: on few test rows one campaign's can be 0.
    """
    errors: dict[str, list[float]] = {}
    for r in records:
        errors.setdefault(r["case"], []).append(_error(r))
    found = []
    for r in records:
        sign = 1.0 if r["direction"] == "maximize" else -1.0
        mean = max(float(np.mean(errors[r["case"]])), 1e-6)
        found.append({**r, "saved": sign * float(r["final"] - r["baseline"]) / mean})
    return found


def _draw(groups: list[np.ndarray], generator: np.random.Generator) -> np.ndarray:
    """Returns rows of one bootstrap sample: data sets, and of each its campaigns."""
    chosen = generator.integers(len(groups), size=len(groups))
    return np.concatenate([generator.choice(groups[i], len(groups[i])) for i in chosen])


def _cases(records: list[Record]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for case in sorted({r["case"] for r in records}):
        mine = [r for r in records if r["case"] == case]
        found[case] = {
            "n": len(mine),
            "metric": mine[0]["metric"],
            "compared": sum(r["likelihood"] is not None for r in mine),
            "proven": sum(r["proven"] for r in mine),
            "candidate_better": sum(r["saved"] > 0.0 for r in mine),
            "error_saved_percent": round(100.0 * float(np.median([r["saved"] for r in mine])), 2),
        }
    return found
