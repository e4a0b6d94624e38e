"""What each recipe that is known to be good is worth against the baseline, on real data.

    python benchmarks/starts.py --records runs/starts.jsonl > benchmarks/results/starts.json
    python benchmarks/starts.py --records runs/photographs.jsonl --only photographs \
        > benchmarks/results/starts-photographs.json

Ten pairs of repeated five-fold cross-validation over development rows (seed 0 of `deliver.py`'s cases);
test rows are not looked at. Of photographs, with the net of `examples/own_images.py`, five pairs over
images that no other benchmark takes. Trainings of tables are as long as about a minute on one core gives
them. Data sets that are done are skipped.
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import running
import torch
from deliver import Case, drawn
from PIL import Image

if TYPE_CHECKING:
    from pawl.training.problem import Problem

EPOCHS = {
    Case("adult", 1000): 40,
    Case("adult", 3000): 30,
    Case("adult", 10_000): 15,
    Case("adult", 32_000): 8,
    Case("beijing-pm25", 2000): 40,
    Case("wine-red"): 42,
    Case("boston-housing"): 80,
    Case("horse-colic"): 80,
    Case("breast-cancer"): 80,
    Case("diabetes"): 80,
}
PAIRS = 10
PHOTOGRAPHS, PHOTOGRAPHS_EPOCHS, PHOTOGRAPHS_PAIRS = "photographs", 20, 5
_FIRST, _LAST = 1000, 1400
"""Of each class, the images in the order of the archive; other benchmarks take the first ones."""


def table(case: Case) -> Problem:
    """Returns the development rows of a table."""
    from pawl.data import load, resolve_task
    from pawl.execution import pick_device
    from pawl.training.problem import Problem

    development, test, target = drawn(case, 0, Path())
    task = resolve_task(development, target=target, test=test)
    return Problem.of(task, load(task, seed=0), pick_device("cpu"))


def photographs() -> Problem:
    """Returns 4,000 small photographs of ten classes for a residual net of a user's."""
    import pawl
    from pawl.data import load
    from pawl.execution import pick_device
    from pawl.training.problem import Problem

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
    import own_images

    seen, images, labels = Counter[str](), list[Any](), list[str]()
    with tarfile.open(running.FILES / "cifar10.tar.xz") as archive:
        for member in archive:
            parts = PurePosixPath(member.name).parts
            if not member.isfile() or len(parts) != 3 or parts[0] != "train":
                continue
            seen[parts[1]] += 1
            if _FIRST < seen[parts[1]] <= _LAST:
                opened = archive.extractfile(member)
                assert opened is not None
                with Image.open(opened) as image:
                    images.append(np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1))
                labels.append(parts[1])
    classes = sorted(set(labels))
    targets = np.array([classes.index(label) for label in labels])
    task = pawl.Task(data=(np.stack(images) / 255, targets), model=own_images.Residual)
    return Problem.of(task, load(task, seed=0), pick_device("cpu"))


def measured(name: str, make: Callable[[], Problem], epochs: int, wanted: int) -> dict[str, Any]:
    """Returns each start's gain over the baseline on a data set, in units of the metric."""
    from pawl.evidence import Pairs
    from pawl.execution import Session, driving
    from pawl.ledger import Ledger
    from pawl.search import baseline, starts

    problem = make()
    with (
        driving(),
        tempfile.TemporaryDirectory() as folder,
        Ledger.create(Path(folder) / "starts", {}) as ledger,
    ):
        session = Session(problem, ledger, 0, epochs=epochs)
        start = baseline(session.facts)
        pairs = Pairs(session, "starts", torch.arange(len(problem.targets)))
        found = []
        for number, recipe in enumerate((start, *starts(start, session.facts))):
            pairs.run(str(number), {str(number): recipe}, range(wanted))
            one = pairs.compare(recipe, start)
            found.append(
                {
                    "recipe": recipe.describe(start) if number else "baseline",
                    "gain": round(one.effect, 5),
                    "standard_error": round(one.standard_error, 5),
                    "seconds": round(pairs.seconds(recipe), 3),
                }
            )
        return {
            "case": name,
            "pairs": wanted,
            "rows": len(problem.targets),
            "epochs": epochs,
            "metric": problem.objective.metric,
            "baseline": round(problem.objective.sign * pairs.mean(start), 5),
            "starts": found[1:],
        }


def main() -> None:
    """Measures what is missing and prints all of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True, help="JSONL file to append to")
    parser.add_argument(
        "--only", nargs="+", metavar="CASE", help="cases to measure; all by default"
    )
    given = parser.parse_args()
    cases = {case.name: (partial(table, case), epochs, PAIRS) for case, epochs in EPOCHS.items()}
    cases[PHOTOGRAPHS] = photographs, PHOTOGRAPHS_EPOCHS, PHOTOGRAPHS_PAIRS
    done = {record["case"] for record in running.read(given.records)}
    for name, case in cases.items():
        if name not in done and name in (given.only or cases):
            running.append(given.records, measured(name, *case))
            print(name, file=sys.stderr)
    from pawl.environment import hardware, versions

    print(
        json.dumps(
            {
                "what": "gain of each known start over the baseline; positive is better",
                "cases": running.read(given.records),
                "hardware": hardware(),
                "versions": versions(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
