"""Which recipe to deliver: rules by how likely it is better, over campaigns on real tables and images.

    python benchmarks/deliver.py --records runs/deliver.jsonl > benchmarks/results/deliver.json
    python benchmarks/deliver.py --records runs/deliver.jsonl --seeds 0-1   # a part of it

Every campaign runs on one core with a budget of 30, 45 or 60 seconds (images: 60), as many at a time
as there are cores. It delivers its candidate whenever that was compared with the baseline, so that both
arms are scored on the test rows; each rule is then applied to what the fresh pairs said. Where nothing
was compared all rules deliver the baseline. Campaigns that ended are skipped.

Rows are drawn anew for every seed; all that a campaign is not given is tested on, up to 8,000 rows.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import running
from rules import evaluate
from tables import DATA

BUDGETS = (30, 45, 60)
SEEDS = 8
MOST_TESTED, TESTED_SHARE = 8000, 0.2
_IMAGES = {"train": 300, "test": 100}  # of each class


@dataclass(frozen=True)
class Case:
    """One kind of campaign: a data set, and how many development rows of it (`None`: four fifths).

    Seeds take the budgets (seconds) in turn.
    """

    data: str
    rows: int | None = None
    budgets: tuple[int, ...] = BUDGETS

    @property
    def name(self) -> str:
        """As records state it."""
        return self.data if self.rows is None else f"{self.data}, {self.rows:,} rows"


CASES = (
    *(Case("adult", rows) for rows in (300, 1000, 3000, 10_000)),
    *(Case("beijing-pm25", rows) for rows in (500, 2000)),
    Case("wine-red"),
    Case("wine-red", 400),
    Case("boston-housing"),
    Case("horse-colic"),
    Case("breast-cancer"),
    Case("wine"),
    Case("diabetes"),
    Case("digits"),
    Case("digits", 400),
    Case("cifar10", 1000, (60,)),
)


def drawn(case: Case, seed: int, images: Path) -> tuple[Any, Any, str | None]:
    """Returns development rows, test rows and the target of a campaign."""
    from sklearn import datasets

    if case.data == "cifar10":
        held = np.load(images)
        inputs, targets = held["inputs"], held["targets"]
    elif case.data == "digits":
        digits = datasets.load_digits()
        inputs, targets = (digits.images[:, None] * 15).astype(np.uint8), digits.target
    else:
        frame, target = _table(case.data)
        chosen, tested = _rows(case, len(frame), seed)
        parts = [frame.iloc[each].reset_index(drop=True) for each in (chosen, tested)]
        return parts[0], parts[1], target
    chosen, tested = _rows(case, len(inputs), seed)
    return (inputs[chosen], targets[chosen]), (inputs[tested], targets[tested]), None


def _rows(case: Case, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(count)
    end = case.rows or round(count * (1.0 - TESTED_SHARE))
    return order[:end], order[end : end + MOST_TESTED]


def _table(name: str) -> tuple[pd.DataFrame, str]:
    from sklearn import datasets

    if name == "beijing-pm25":
        return pd.read_csv(running.FILES / f"{name}.csv").dropna(subset="pm2.5"), "pm2.5"
    if name == "wine":
        frame = datasets.load_wine(as_frame=True).frame
        return frame.assign(target=[f"cultivar {code}" for code in frame["target"]]), "target"
    if name == "diabetes":
        return datasets.load_diabetes(as_frame=True).frame, "target"
    return DATA[name].read(), DATA[name].target


def extract(archive: Path, out: Path) -> None:
    """Writes some images of each class, and their classes, as arrays."""
    from PIL import Image

    taken: Counter[tuple[str, ...]] = Counter()
    pixels, classes = [], []
    with tarfile.open(archive) as source:
        for member in source:
            parts = tuple(Path(member.name).parts)
            if not member.isfile() or len(parts) != 3 or parts[0] not in _IMAGES:
                continue
            if taken[parts[:2]] < _IMAGES[parts[0]]:
                taken[parts[:2]] += 1
                file = source.extractfile(member)
                assert file is not None
                picture = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))
                pixels.append(picture.transpose(2, 0, 1))
                classes.append(parts[1])
    names = sorted(set(classes))
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(out, inputs=np.stack(pixels), targets=np.array([names.index(c) for c in classes]))


def one(case: Case, seed: int, budget: float, images: Path, out: Path, started: float) -> None:
    """Runs a campaign in this process that delivers its candidate whenever it was compared."""
    import pawl
    from pawl.evidence import delivering

    delivering.LIKELY_ENOUGH = -1.0
    data, test, target = drawn(case, seed, images)
    options = {} if target is None else {"target": target}
    pawl.optimize(data, test=test, budget=budget, seed=seed, out=out, started=started, **options)


def campaign(
    index: int, seed: int, budget: float, images: Path, place: list[int]
) -> dict[str, Any]:
    """Runs a campaign in a process of its own on some cores; returns what it came to."""
    case = CASES[index]
    found: dict[str, Any] = {
        "case": case.name, "data": case.data, "seed": seed, "budget": budget,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="deliver-") as folder:
        out = Path(folder) / "out"
        command = [
            *running.on(place), sys.executable, __file__, "--records", images, "--one",
            json.dumps([index, seed, budget, str(images), str(out)]),
        ]  # fmt: skip
        try:
            code, said = running.ended(command, 3 * budget + 60)
        except subprocess.TimeoutExpired:
            code, said = -1, "did not end in time"
        if code:
            return {**found, "error": said.splitlines()[-1][:300] if said else f"exit code {code}"}
        result = running.outcome(out)
    del result["statement"]
    return {**found, **result}


def jobs(seeds: list[int], names: list[str] | None) -> Iterator[tuple[int, int, float]]:
    """Yields all campaigns, the cases in turn, so that what was stopped early holds some of each."""
    for seed in seeds:
        for index, case in enumerate(CASES):
            if names is None or case.data in names:
                yield index, seed, case.budgets[(seed + index) % len(case.budgets)]


def main() -> None:
    """Runs what is missing, then prints what the rules come to as JSON."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True, help="JSONL file to append to")
    parser.add_argument("--seeds", type=running.numbers, default=list(range(SEEDS)), help="0-7")
    parser.add_argument("--data", nargs="+", choices=sorted({case.data for case in CASES}))
    parser.add_argument("--tally", action="store_true", help="run nothing")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        index, seed, budget, images, out = given.one
        one(CASES[index], seed, budget, Path(images), Path(out), started)
        return
    running.stop_on_sigterm()
    images = given.records.with_suffix(".images.npz")
    wanted = [] if given.tally else list(jobs(given.seeds, given.data))
    if not images.exists() and any(CASES[index].data == "cifar10" for index, *_ in wanted):
        extract(running.FILES / "cifar10.tar.xz", images)

    def work(job: tuple[int, int, float], place: list[int]) -> None:
        index, seed, budget = job
        key = (CASES[index].name, seed, budget)
        record = running.computed(
            given.records, key, partial(campaign, index, seed, budget, images, place)
        )
        told = record.get("error", f"likelihood {record.get('likelihood')}")
        print(f"{key}: {told}", file=sys.stderr)

    running.in_turns(wanted, [[core] for core in running.cores()], work)
    from pawl.environment import hardware, versions

    records = running.read(given.records)
    for record in records:
        record.pop("key")
    result = {
        "what": "rules for which recipe to deliver, by both arms' scores on the test rows",
        **evaluate(records),
        "campaigns": records,
        "hardware": hardware(),
        "versions": versions(),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
