"""What the records say: rates with their 95% intervals."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy import stats

Record = dict[str, Any]


def rate(hits: Iterable[bool]) -> dict[str, Any]:
    """Returns a share with its exact 95% interval (Clopper and Pearson 1934)."""
    flags = list(hits)
    if not flags:
        return {"n": 0}
    result = stats.binomtest(sum(flags), len(flags)).proportion_ci(method="exact")
    return {
        "count": sum(flags),
        "n": len(flags),
        "rate": round(sum(flags) / len(flags), 4),
        "interval": [round(result.low, 4), round(result.high, 4)],
    }


def clustered(records: Sequence[Record], hits: Sequence[Sequence[bool]]) -> dict[str, Any]:
    """Returns the same of comparisons that share campaigns.

    The interval counts campaigns with any hit, each as one: comparisons of a campaign share its rows
    and splits, and the share of campaigns with a hit is no smaller than that of comparisons.
    """
    flat = [hit for campaign in hits for hit in campaign]
    told = [campaign for campaign in hits if campaign]
    return {
        "comparisons": rate(flat),
        "campaigns_with_any": rate(any(campaign) for campaign in told),
        "campaigns": len(records),
    }


def tally(records: Sequence[Record]) -> dict[str, Any]:
    """Returns all rates that the records hold."""
    parts: dict[str, list[Record]] = {}
    for record in records:
        parts.setdefault(record["part"], []).append(record)
    alone, planted = parts.get("placebo", []), parts.get("planted", [])
    return {
        "what": "error rates and power of whole campaigns on real data, 95% intervals",
        "n": dict(Counter(record["part"] for record in records)),
        "cpu_seconds_per_campaign": _quartiles(
            [r["cpu_seconds"] for r in records if "cpu_seconds" in r]
        ),
        "placebos": {
            "all": _placebos([*alone, *planted]),
            "where nothing else was there": _placebos(alone),
            "beside something that helps": _placebos(planted),
            "campaigns that called a recipe of placebos better": rate(r["proven"] for r in alone),
        },
        "planted": {
            name: _planted([r for r in planted if r["case"] == name])
            for name in sorted({r["case"] for r in planted})
        },
        "coverage": _coverage(parts.get("coverage", [])),
        "coverage, by case": {
            name: _coverage([r for r in parts.get("coverage", []) if r["case"] == name])
            for name in sorted({r["case"] for r in parts.get("coverage", [])})
        },
        "noise": _noise(parts.get("noise", [])),
        "pairing": [
            {k: v for k, v in record.items() if k not in ("job", "sources", "part")}
            for record in parts.get("pairing", [])
        ],
        "sources": dict(Counter(record["sources"] for record in records)),
    }


def _placebos(records: Sequence[Record]) -> dict[str, Any]:
    """Returns how often a placebo that reached the confirmation, or was screened out, was kept."""
    verdicts = [[v for v in r["verdicts"] if v["name"].startswith("placebo")] for r in records]
    measured = [[v for v in each if v["p_value"] is not None] for each in verdicts]
    return {
        "kept": clustered(records, [[v["verdict"] == "kept" for v in each] for each in verdicts]),
        "kept, of those compared on their own": clustered(
            records, [[v["verdict"] == "kept" for v in each] for each in measured]
        ),
        "in the final recipe": rate(v["in_final"] for each in verdicts for v in each),
        "verdicts": dict(Counter(v["verdict"] for each in verdicts for v in each)),
    }


def _planted(records: Sequence[Record]) -> dict[str, Any]:
    def any_of(record: Record, key: str, value: Any) -> bool:
        return any(v["name"] in record["planted"] and v[key] == value for v in record["verdicts"])

    return {
        "kept": rate(any_of(r, "verdict", "kept") for r in records),
        "in a proven final recipe": rate(
            r["proven"] and any(name in r["planted"] for name in r["final"]) for r in records
        ),
        "proven": rate(r["proven"] for r in records),
    }


def _coverage(records: Sequence[Record]) -> dict[str, Any]:
    proven = [r for r in records if "truth" in r]
    if not proven:
        return {"campaigns": len(records), "with a changed final recipe": 0}
    misses = [
        (r["gain"]["effect"] - r["truth"]["effect"]) / r["gain"]["standard_error"] for r in proven
    ]
    return {
        "campaigns": len(records),
        "with a changed final recipe": len(proven),
        "covered": rate(r["covered"] for r in proven),
        "error over standard error": {
            "mean": round(float(np.mean(misses)), 3),
            "standard deviation": round(float(np.std(misses, ddof=1)), 3)
            if len(misses) > 1
            else None,
        },
        "standard error of the true gain over that of the campaign's": _quartiles(
            [r["truth"]["standard_error"] / r["gain"]["standard_error"] for r in proven]
        ),
        "final recipe worse than the baseline in truth": rate(
            r["truth"]["effect"] < 0 for r in proven
        ),
    }


def _noise(records: Sequence[Record]) -> dict[str, Any]:
    """Returns how often anything was called better where nothing is."""
    return {
        "called better": rate(r["proven"] for r in records),
        "blends": rate(r["members"] > 1 for r in records),
        "with learners": rate(r["learners"] > 0 for r in records),
        "p below 0.05, of one candidate each": rate(
            r["p_value"] is not None and r["p_value"] <= 0.05 for r in records
        ),
    }


def _quartiles(values: Sequence[float]) -> dict[str, float] | None:
    if len(values) < 2:
        return None
    low, middle, high = statistics.quantiles(values, n=4)
    return {"median": round(middle, 3), "quartiles": [round(low, 3), round(high, 3)]}
