"""Recall and false alarms of the rules of `pawl diagnose`, on planted faults and on healthy trainings.

    python benchmarks/diagnosis.py --seeds 10 --healthy 100

Each fault is planted on data and networks that limits were not chosen by (`diagnosis_faults.py`); a seed
draws rows, splits and first weights. Recall is the share of seeds in which one of the rules that may
tell of the fault does. A false alarm is any finding on the same data, nets and recipes without a fault.
For faults of training the loss on validation rows is compared with that of healthy trainings of the
same base: a fault without an effect (p >= 0.05 or |d| < 0.5) is told apart.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diagnosis_faults import BASES, FAULTS, Setting, register
from running import computed, read
from scipy import stats

import pawl
from pawl.environment import hardware, versions

RESULTS = Path(__file__).parent / "results"
Record = dict[str, Any]


def diagnosed(name: str | None, base: str, seed: int) -> Record:
    """Returns what is found: rules by name, and what the training explains of validation rows."""
    random = np.random.default_rng([seed, zlib.crc32(base.encode())])
    at: Setting = BASES[base](random)
    if name is not None:
        at = FAULTS[name].plant(at, random)
    options = dict(at.options)
    started = time.perf_counter()
    task = pawl.Task(data=at.data, model=at.model, **options)
    found = pawl.diagnose(
        task, recipe=pawl.Recipe.from_dict(at.recipe), seed=seed, epochs=at.epochs
    )
    run = found.diagnosis.training
    explained = None
    if run is not None and run.readings:
        value = run.explained(run.at_kept.valid_loss)
        explained = round(value, 5) if math.isfinite(value) else None
    return {
        "rules": [each.rule for each in found.findings],
        "severities": [each.severity for each in found.findings],
        "status": None if run is None else run.status,
        "reason": found.diagnosis.reason,
        "explained": explained,
        "seconds": round(time.perf_counter() - started, 2),
    }


def share(count: int, of: int) -> dict[str, Any]:
    """Returns a share with its 95% interval (Clopper and Pearson)."""
    low, high = stats.binomtest(count, of).proportion_ci(0.95) if of else (0.0, 1.0)
    return {"count": count, "n": of, "share": round(count / max(1, of), 4),
            "low": round(float(low), 4), "high": round(float(high), 4)}  # fmt: skip


def effect(faulty: list[Record], healthy: dict[str, list[Record]]) -> dict[str, Any]:
    """Returns the effect of a fault on what is explained of validation rows: d, and Welch's p-value.

    Both against the mean of healthy trainings of the same base, as bases differ by much.
    """
    bases = {r["base"] for r in faulty}
    means = {base: np.mean([_explained(r) for r in healthy[base]]) for base in bases}
    a = np.array([_explained(r) - means[r["base"]] for r in faulty])
    b = np.array([_explained(r) - means[base] for base in bases for r in healthy[base]])
    spread = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2) if min(len(a), len(b)) > 1 else 0.0
    p = float(stats.ttest_ind(a, b, equal_var=False).pvalue) if spread else math.nan
    d = float((a.mean() - b.mean()) / spread) if spread else 0.0
    return {"difference": round(float(a.mean() - b.mean()), 4), "d": round(d, 3),
            "p": float(f"{p:.3g}") if math.isfinite(p) else None, "n": [len(a), len(b)]}  # fmt: skip


def _explained(record: Record) -> float:
    # What diverged explains as little as the worst that did not.
    return -1.0 if record["explained"] is None else max(-1.0, float(record["explained"]))


def main() -> None:
    """Runs what is not there yet, and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10, help="seeds of each fault")
    parser.add_argument("--healthy", type=int, default=100, help="healthy trainings in all")
    parser.add_argument("--faults", default="", help="only faults whose name has this in it")
    parser.add_argument("--summarize", action="store_true", help="run nothing more")
    parser.add_argument("--records", type=Path, default=Path("/tmp/pawl-diagnosis.jsonl"))
    parser.add_argument("--out", type=Path, default=RESULTS / "diagnosis.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    register()

    def work(key: tuple[Any, ...], compute: Callable[[], Record]) -> Record | None:
        if not options.summarize:
            return computed(options.records, key, compute)
        return next((r for r in read(options.records) if r.get("key") == list(key)), None)

    healthy: dict[str, list[Record]] = {base: [] for base in BASES}
    for number in range(options.healthy):
        base, seed = list(BASES)[number % len(BASES)], number // len(BASES)
        record = work(("healthy", base, seed), partial(diagnosed, None, base, seed))
        if record is None:
            continue
        healthy[base].append(record)
        print("healthy", base, seed, *_told(record), flush=True)
    faults: dict[str, Any] = {}
    for name, fault in FAULTS.items():
        if options.faults not in name:
            continue
        records = []
        for number in range(options.seeds):
            base = fault.bases[number % len(fault.bases)]
            seed = 1000 + number
            record = work((name, base, seed), partial(diagnosed, name, base, seed))
            if record is None:
                continue
            records.append({**record, "base": base})
            print(name, base, seed, *_told(record), flush=True)
        told = sum(bool(set(r["rules"]) & set(fault.rules)) for r in records)
        also: dict[str, int] = {}
        for record in records:
            for rule in set(record["rules"]) - set(fault.rules):
                also[rule] = also.get(rule, 0) + 1
        compared = fault.trains and len(records) > 1 and all(healthy[r["base"]] for r in records)
        faults[name] = {
            "rules": fault.rules,
            "recall": share(told, len(records)),
            "first": share(sum(fault.rules[0] in r["rules"] for r in records), len(records)),
            "also": also,
            "effect": effect(records, healthy) if compared else None,
        }
    every = [record for each in healthy.values() for record in each]
    rules = sorted({rule for record in every for rule in record["rules"]})
    counted = [f for f in faults.values() if f["effect"] is None or _matters(f["effect"])]
    result = {
        "hardware": hardware(torch.device("cpu")),
        "versions": versions(),
        "seeds": options.seeds,
        "faults": faults,
        "recall": share(
            sum(f["recall"]["count"] for f in counted), sum(f["recall"]["n"] for f in counted)
        ),
        "without effect": [
            name for name, f in faults.items() if f["effect"] and not _matters(f["effect"])
        ],
        "healthy": {
            "any": share(sum(bool(r["rules"]) for r in every), len(every)),
            "warnings": share(
                sum(any(s != "info" for s in r["severities"]) for r in every), len(every)
            ),
            "by base": {
                base: share(sum(bool(r["rules"]) for r in each), len(each))
                for base, each in healthy.items()
            },
            "by rule": {
                rule: share(sum(rule in r["rules"] for r in every), len(every)) for rule in rules
            },
        },
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: result[k] for k in ("recall", "without effect", "healthy")}, indent=1))
    for name, each in faults.items():
        print(
            f"{name:36} {each['recall']['count']}/{each['recall']['n']} {each['also']} {each['effect']}"
        )


def _told(record: Record) -> list[Any]:
    return [record[key] for key in ("rules", "reason", "explained", "seconds")]


def _matters(found: dict[str, Any]) -> bool:
    return found["p"] is not None and found["p"] < 0.05 and abs(found["d"]) >= 0.5


if __name__ == "__main__":
    main()
