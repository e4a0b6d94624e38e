"""The ways of training, alone and beside a neighbor that keeps each core busy with a spinning thread.

    python benchmarks/threads.py --records runs/threads.jsonl > benchmarks/results/threads.json
    python benchmarks/threads.py --records runs/threads.jsonl --nets attention   # a part of it

The nets of `planner.py`. The same members are trained to their end by each fixed way (one thread here,
all threads here, a process per core; one by one, fused, compiled) and by what the planner chose in that
place, from an empty cache. In each round the places take turns, and within a place the ways, both in an
order of their own. A fixed way that takes many times as long as the best so far is stopped, and left out
from then on; its seconds are what it took until then. What compiling takes is on record, and counts in
which fixed way is called the best. Nets that are known are not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import statistics
import sys
import tempfile
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import running
from neighbor import neighbor
from planner import TASKS, Setting

from pawl.environment import hardware, versions
from pawl.execution import Plan, driving

PLACES = ("alone", "beside a neighbor")
WANTED = 1.1
_GIVEN_UP, _LEAST_LIMIT = 6.0, 5.0  # times the best so far; seconds
_DRAWS = 4000


def compare(net: str, count: int, rounds: int) -> dict[str, Any]:
    """Times all ways on one network in both places, in turns."""
    setting = Setting.of(net, count)
    plans = {str(way): Plan(way, "fixed") for way in setting.ways()}
    chosen: dict[str, tuple[Plan, float]] = {}
    for place in PLACES:
        with _empty_cache(), neighbor(wanted=place != "alone"):
            chosen[place] = setting.choose()
        print(f"{net} {place}: the planner chose {chosen[place][0].way}", file=sys.stderr)
    compiling = {
        label: setting.seconds(fixed, fixed.width)
        for label, fixed in plans.items()
        if fixed.way.compiled
    }
    taken: dict[str, dict[str, list[float]]] = {place: {} for place in PLACES}
    stopped: dict[str, set[str]] = {place: set() for place in PLACES}
    best = dict.fromkeys(PLACES, math.inf)
    for index in range(rounds):
        order = random.Random(f"{net} {index}")
        for place in order.sample(PLACES, len(PLACES)):
            contestants = {**plans, "planner": chosen[place][0]}
            with neighbor(wanted=place != "alone"):
                for label in order.sample(sorted(contestants), len(contestants)):
                    if label in stopped[place]:
                        continue
                    limit = max(_LEAST_LIMIT, _GIVEN_UP * best[place])
                    limit = math.inf if label == "planner" else limit
                    spent = setting.seconds(contestants[label], limit=limit)
                    taken[place].setdefault(label, []).append(spent)
                    best[place] = min(best[place], spent)
                    if spent > limit:
                        stopped[place].add(label)
                    print(f"{net} {index} {place}, {label}: {spent:.2f} s", file=sys.stderr)
    return {
        "net": net,
        "members": count,
        "steps": setting.steps,
        "first_use": {label: round(each, 2) for label, each in compiling.items()},
        "places": {
            place: _place(taken[place], compiling, stopped[place], *chosen[place])
            for place in PLACES
        },
    }


def _place(
    taken: dict[str, list[float]],
    compiling: dict[str, float],
    stopped: set[str],
    chosen: Plan,
    planning: float,
) -> dict[str, Any]:
    """Returns what the ways took in one place, and the planner's choice over the best of them."""
    median = {label: statistics.median(each) for label, each in taken.items()}
    fixed = [label for label in median if label != "planner" and label not in stopped]
    best = min(fixed, key=lambda label: median[label] + compiling.get(label, 0.0))
    ratios = np.array(taken["planner"]) / np.array(taken[best])
    draws = np.random.default_rng(0).choice(ratios, (_DRAWS, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    over = float(np.median(ratios))
    return {
        "planner": {"way": str(chosen.way), "seconds_to_plan": round(planning, 2)},
        "seconds": {
            label: {
                "median": round(median[label], 3),
                "least": round(min(each), 3),
                "most": round(max(each), 3),
                "n": len(each),
            }
            for label, each in taken.items()
        },
        "best_fixed": best,
        "stopped": sorted(stopped),
        "planner_over_best": {
            "median": round(over, 3),
            "interval_95": [round(float(low), 3), round(float(high), 3)],
            "by_round": [round(float(ratio), 3) for ratio in ratios],
        },
        "within": over <= WANTED,
    }


@contextlib.contextmanager
def _empty_cache() -> Iterator[None]:
    """Forgets what was timed elsewhere while it is open."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PAWL_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("PAWL_CACHE")
            os.environ.update(before)


def main() -> None:
    """Runs what is missing and prints the comparison as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nets", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--records", type=Path, help="JSONL file to append to and to go on from")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    running.stop_on_sigterm()
    rows = []
    with tempfile.TemporaryDirectory() as folder, driving():
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        for net in given.nets:
            work = partial(compare, net, given.members, given.rounds)
            rows.append(running.computed(given.records, (net, given.members, given.rounds), work))
    places = [place for row in rows for place in row["places"].values()]
    record = {
        "what": "whole trainings by each way, alone and beside a neighbor that spins on every core",
        "wanted": f"what the planner chose takes at most {WANTED:g} times the best fixed way",
        "within": sum(place["within"] for place in places),
        "n": len(places),
        "rows": rows,
        "hardware": hardware(),
        "versions": versions(),
    }
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
