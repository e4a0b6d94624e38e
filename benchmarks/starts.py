"""What each recipe that is known to be good is worth against the baseline, on real tables.

    python benchmarks/starts.py --records runs/starts.jsonl > benchmarks/results/starts.json

Ten pairs of repeated five-fold cross-validation over development rows (seed 0 of `deliver.py`'s cases);
test rows are not looked at. Trainings are as long as about a minute on one core gives them. Data sets
that are done are skipped.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import running
import torch
from deliver import Case, drawn

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


def measured(case: Case, epochs: int) -> dict[str, Any]:
    """Returns each start's gain over the baseline on a data set, in units of the metric."""
    from pawl.data import load, resolve_task
    from pawl.evidence import Pairs
    from pawl.execution import Session, driving, pick_device
    from pawl.ledger import Ledger
    from pawl.search import baseline, starts
    from pawl.training.problem import Problem

    development, test, target = drawn(case, 0, Path())
    task = resolve_task(development, target=target, test=test)
    problem = Problem.of(task, load(task, seed=0), pick_device("cpu"))
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
            pairs.run(str(number), {str(number): recipe}, range(PAIRS))
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
            "case": case.name,
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
    given = parser.parse_args()
    done = {record["case"] for record in running.read(given.records)}
    for case, epochs in EPOCHS.items():
        if case.name not in done:
            running.append(given.records, measured(case, epochs))
            print(case.name, file=sys.stderr)
    from pawl.environment import hardware, versions

    print(
        json.dumps(
            {
                "what": "gain of each known start over the baseline; positive is better",
                "pairs": PAIRS,
                "cases": running.read(given.records),
                "hardware": hardware(),
                "versions": versions(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
