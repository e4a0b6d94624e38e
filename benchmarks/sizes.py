"""Time and memory of `pawl optimize --budget B` on a very long table and on a very short one.

    python benchmarks/sizes.py > benchmarks/results/sizes.json
    python benchmarks/sizes.py --records runs/sizes.jsonl --rows 200        # a part

The tables are made up: 20 columns of numbers, some with gaps, 10 of categories, two classes that depend
on some of them, with noise. Each measurement is the command in a process of its own, from its start to
its exit; alone, or beside a process that spins on each core. Memory is what all processes of the command
hold together (proportional set size, where shared pages count once), looked at four times a second.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import running
from budgets import ALLOWED_SECONDS, ALLOWED_SHARE
from neighbor import neighbor

ROWS = (200, 1_000_000)
PLACES = ("alone", "neighbor")
BUDGET = 90.0
NUMBERS, CATEGORIES = 20, 10
_EVERY = 0.25
_CHUNK = 100_000
_MIB, _GIB = 1 << 20, 1 << 30


def write(path: Path, rows: int, seed: int) -> None:
    """Writes a table of so many rows as CSV, in parts."""
    import pandas as pd

    random = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, rows, _CHUNK):
            count = min(_CHUNK, rows - start)
            x = random.normal(size=(count, NUMBERS)).round(3)
            codes = random.integers(0, 8, (count, CATEGORIES))
            signal = x[:, 0] + x[:, 1] * x[:, 2] + np.abs(x[:, 3]) + 0.5 * (codes[:, 0] % 3)
            signal += 0.5 * np.sin(3 * x[:, 4]) * (codes[:, 1] > 3)
            x[random.random(x.shape) < 0.02] = np.nan
            frame = pd.DataFrame(x, columns=[f"number_{i}" for i in range(NUMBERS)])
            for i in range(CATEGORIES):
                frame[f"category_{i}"] = np.char.add("c", codes[:, i].astype(str))
            likely = 1.0 / (1.0 + np.exp(-1.5 * (signal - 1.3)))
            frame["target"] = np.where(random.random(count) < likely, "yes", "no")
            frame.to_csv(file, index=False, header=start == 0)


def held(group: int) -> int:
    """Returns the bytes that the processes of a session hold together."""
    total = 0
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            if entry.name.isdecimal() and os.getsid(int(entry.name)) == group:
                lines = (entry / "smaps_rollup").read_text().splitlines()
                total += 1024 * sum(int(li.split()[1]) for li in lines if li.startswith("Pss:"))
    return total


def measure(scratch: Path, rows: int, place: str, budget: float, seed: int) -> dict[str, Any]:
    """Runs the command once and returns what it took and how it ended."""
    table, out = scratch / f"rows-{rows}.csv", scratch / f"{rows}-{place}-{seed}"
    if not table.exists():
        write(table, rows, seed=0)
    command = [sys.executable, "-m", "pawl.cli", "optimize", str(table), "--target", "target"]
    command += ["--budget", f"{budget:g}s", "--seed", str(seed), "--out", str(out)]
    most, over = 0, threading.Event()

    def watch(group: int) -> None:
        nonlocal most
        while not over.wait(_EVERY):
            most = max(most, held(group))

    with neighbor(wanted=place == "neighbor"):
        load, started = os.getloadavg()[0], time.monotonic()
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        ) as process:  # fmt: skip
            watching = threading.Thread(target=watch, args=(process.pid,))
            watching.start()
            _, errors = process.communicate()
            seconds = time.monotonic() - started
            over.set()
            watching.join()
    found: dict[str, Any] = {
        "seconds": round(seconds, 1),
        "over": round(seconds - budget, 1),
        "kept": seconds <= budget + max(ALLOWED_SHARE * budget, ALLOWED_SECONDS),
        "peak_gib": round(most / _GIB, 2),
        "exit_code": process.returncode,
        "load_before": round(load, 1),
    }
    if process.returncode != 0:
        return found | {"ended": errors.strip().splitlines()[-1]}
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    members = summary["parts"].get("ensemble", {}).get("members", [])
    return found | {
        "ended": summary["gain"]["statement"],
        "delivered": summary["delivered"],
        "proven": summary["proven"],
        "roc_auc": round(summary["final"]["value"], 4),
        "baseline": round(summary["baseline"]["value"], 4),
        "members": [f"{each['name']} {each['share']:.0%}" for each in members],
        "pairs": summary["evidence"]["pairs"],
        "trained": summary["trials"]["trained"],
        "bundle_mib": round(summary["cost"]["size_bytes"]["final"] / _MIB, 1),
        "findings": [each["rule"] for each in summary["findings"]],
    }


def main() -> None:
    """Measures every size, alone and beside a neighbor, and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--budget", type=float, default=BUDGET)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--places", choices=PLACES, nargs="+", default=PLACES)
    parser.add_argument("--records", type=Path, help="JSONL file to append to and to go on from")
    arguments = parser.parse_args()
    from pawl.environment import hardware, versions

    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for rows, place, seed in itertools.product(
            arguments.rows, arguments.places, range(arguments.rounds)
        ):
            found = running.computed(
                arguments.records,
                (rows, place, arguments.budget, seed, len(running.cores())),
                partial(measure, Path(folder), rows, place, arguments.budget, seed),
            )
            runs.append({"rows": rows, "place": place, "budget": arguments.budget, "seed": seed})
            runs[-1] |= found
            print(json.dumps(runs[-1]), file=sys.stderr)
    result = {
        "what": "seconds from process start to exit of pawl optimize --budget, and memory of all its "
        "processes, on made-up tables of 30 columns",
        "n": len(runs),
        "kept": sum(run["kept"] for run in runs),
        "largest_over": max(run["over"] for run in runs),
        "largest_peak_gib": max(run["peak_gib"] for run in runs),
        "cores": len(running.cores()),
        "runs": runs,
        "hardware": hardware(),
        "versions": versions(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
