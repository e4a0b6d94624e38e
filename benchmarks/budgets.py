"""Whether `pawl optimize --budget B` ends within B and a margin of 5%, at least 5 seconds.

    python benchmarks/budgets.py ../shared/data > benchmarks/results/budgets.json
    python benchmarks/budgets.py ../shared/data --records runs/budgets.jsonl --only adult   # a part

Each measurement is the command in a process of its own, from its start to its exit: on a table (adult,
with its test file) and on images (5,000 of CIFAR-10, 1,000 to test on, by examples/extract_images.py).
Ending with code 3, "too short", in time keeps a budget too, and is reported as such.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import running

BUDGETS = (30, 60, 180)
ALLOWED_SHARE, ALLOWED_SECONDS = 0.05, 5.0
EXTRACT = Path(__file__).parent.parent / "examples" / "extract_images.py"


def sources(data: Path, scratch: Path) -> dict[str, list[str]]:
    """Returns the arguments that name each data set."""
    images = scratch / "cifar10.tar"
    subprocess.run(
        [sys.executable, EXTRACT, data / "cifar10.tar.xz", images],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    table = [str(data / "adult-train.csv"), "--target", "income"]
    return {"adult": [*table, "--test", str(data / "adult-test.csv")], "images": [str(images)]}


def measure(source: list[str], budget: float, seed: int, out: Path) -> dict[str, Any]:
    """Runs the command once and returns what it took and how it ended."""
    command = [sys.executable, "-m", "pawl.cli", "optimize", *source]
    more = ["--budget", f"{budget:g}s", "--seed", str(seed), "--out", str(out)]
    busy, started = os.getloadavg()[0], time.monotonic()
    ran = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    found: dict[str, Any] = {
        "seconds": round(seconds, 1),
        "overrun": round(seconds - budget, 1),
        "kept": seconds <= budget + max(ALLOWED_SHARE * budget, ALLOWED_SECONDS),
        "exit_code": ran.returncode,
        "load_before": round(busy, 1),
    }
    if ran.returncode != 0:
        return found | {"ended": ran.stderr.strip().splitlines()[-1]}
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return found | {
        "ended": summary["gain"]["statement"],
        "trials": summary["trials"],
        "pairs": summary["evidence"]["pairs"],
        "test_seeds": summary["gain"]["n"],
        "inside": round(summary["seconds"], 1),
    }


def main() -> None:
    """Measures every budget on every data set and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--budgets", type=float, nargs="+", default=BUDGETS)
    parser.add_argument("--only", choices=("adult", "images"), nargs="+")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--records", type=Path, help="JSONL file to append to and to go on from")
    arguments = parser.parse_args()
    from pawl.environment import hardware, versions

    runs = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name, source in sources(arguments.data.resolve(), scratch).items():
            if arguments.only and name not in arguments.only:
                continue
            for budget in arguments.budgets:
                for seed in range(arguments.rounds):
                    out = scratch / f"{name}-{budget:g}-{seed}"
                    found = running.computed(
                        arguments.records,
                        (name, budget, seed),
                        partial(measure, source, budget, seed, out),
                    )
                    runs.append({"data": name, "budget": budget, "seed": seed, **found})
                    print(json.dumps(runs[-1]), file=sys.stderr)
    result = {
        "what": "seconds from process start to exit of pawl optimize --budget",
        "n": len(runs),
        "kept": sum(run["kept"] for run in runs),
        "largest_overrun": max(run["overrun"] for run in runs),
        "runs": runs,
        "hardware": hardware(),
        "versions": versions(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
