"""What each kind of ensemble is worth: metric, latency, size, on tables, images and a user's own model.

    python benchmarks/ensembles.py --records runs/ensembles.jsonl > benchmarks/results/ensembles.json
    python benchmarks/ensembles.py --records runs/ensembles.jsonl --cases wine-red   # a part of it

Per case: development and test rows by seed (0 to 2 by default), known recipes (and on tables
learners) on five folds of the development rows. Blends are weighed by out-of-fold predictions. Then the
test rows, which chose nothing: a single model of the recipe that is best out of fold; the mean of its
five fold models (bagging); of recipes that are several models in one network, one model; and each kind
of blend, one model of each recipe and fold. Gains are those of the very models against the single one,
with intervals over test rows. Latency is ONNX Runtime's on one thread.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import running
import torch
from deliver import Case, drawn

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
ARCHIVE, IMAGES = running.FILES / "cifar10.tar.xz", ("--train", "5000", "--test", "1000")
FOLDS, MOST_RECIPES = 5, 5
EPOCHS = {"adult": 10, "wine-red": 42, "cifar10": 8, "own-model": 20}


def _own_model() -> Any:
    sys.path.insert(0, str(EXAMPLES))
    import own_model

    return own_model.task()


def task_of(name: str, seed: int, images: Path) -> Any:
    """Returns a case's task: rows by the seed; of images, those of the archive's own parts."""
    from pawl.data import resolve_task

    if name == "own-model":
        return _own_model()
    if name == "cifar10":
        if not images.is_file():
            script = EXAMPLES / "extract_images.py"
            subprocess.run([sys.executable, script, ARCHIVE, images, *IMAGES], check=True)
        return resolve_task(images)
    case = {"adult": Case("adult", 10_000), "wine-red": Case("wine-red")}[name]
    development, test, target = drawn(case, seed, images)
    return resolve_task(development, target=target, test=test)


def measured(name: str, seed: int, images: Path) -> dict[str, Any]:  # noqa: PLR0915
    """Returns each kind's score, gain over a single model, latency and size."""
    from pawl.data import load
    from pawl.delivery import export_graph
    from pawl.deployment import measure
    from pawl.ensembling import COMBINERS, OutOfFold, fitting_learners
    from pawl.ensembling.blends import blend_of
    from pawl.ensembling.calibrating import calibrated
    from pawl.evidence import Pairs, Single, gain_on_test
    from pawl.execution import Session, driving, pick_device
    from pawl.ledger import Ledger
    from pawl.search import baseline, starts
    from pawl.training.problem import Problem
    from pawl.training.trained import Trained, blended

    began = time.monotonic()
    task = task_of(name, seed, images)
    data = load(task, seed=seed)
    problem = Problem.of(task, data, pick_device("cpu"))
    with (
        driving(),
        tempfile.TemporaryDirectory() as folder,
        Ledger.create(Path(folder) / "ensembles", {}) as ledger,
    ):
        session = Session(problem, ledger, seed, epochs=EPOCHS[name])
        start = baseline(session.facts)
        networks = [start, *starts(start, session.facts)[: MOST_RECIPES - 1]]
        recipes = [*networks, *fitting_learners(session.facts)]
        rows = torch.arange(len(problem.targets))
        pairs = Pairs(session, "ensembles", rows, FOLDS, keep=FOLDS)
        pairs.run("recipes", {recipe.id: recipe for recipe in recipes}, range(FOLDS))
        found = OutOfFold.of(pairs, recipes)
        assert found is not None
        best = Single(found.recipes[0])
        best_network = Single(next(r for r in found.recipes if r.learner is None))
        arms = {"single": best, "single network": best_network}
        members = [recipe for recipe in found.recipes if "tabm" in recipe]
        if members:
            arms["many predictors in one network (tabm)"] = Single(members[0])
        for kind in COMBINERS:
            arms[f"blend: {kind}"] = blend_of(found, kind, 8)
        arms["blend: greedy, calibrated"] = calibrated(found, arms["blend: greedy"])
        pairs.run("arms", arms, range(FOLDS))
        each = {arm: [pairs.load(arm, fold) for fold in range(FOLDS)] for arm in set(arms.values())}
        predictors: dict[str, list[Trained]] = {
            kind: [one]
            if (one := each[arm][0]) and kind.startswith(("single", "many"))
            else each[arm]
            for kind, arm in arms.items()
        }
        predictors["bagging: five folds of the single"] = each[best]
        predictors["bagging: five folds of the network"] = each[best_network]
        device = torch.device("cpu")
        assert data.test.targets is not None
        targets = data.test.targets
        stacks = {
            kind: torch.stack([model.predict(data.test, device) for model in models])
            for kind, models in predictors.items()
        }
        kept = {kind: blended(models) for kind, models in predictors.items()}
        graphs = {kind: export_graph(model, data) for kind, model in kept.items()}
        costs = measure(graphs, data.test)
        single = stacks["single"].mean(0, keepdim=True)

        def row(kind: str) -> dict[str, Any]:
            whole = stacks[kind].mean(0, keepdim=True)
            gain = gain_on_test(problem.objective, single, whole, targets)
            return {
                "kind": kind,
                "value": gain.final[0],
                "gain": gain.gain.effect,
                "interval": list(gain.gain.interval),
                "recipes": len(arms[kind].trainings) if kind in arms else 1,
                "models": len(kept[kind].parts),
                "latency_ms": round(costs[kind].latency_ms, 3),
                "latency_of_64_ms": round(costs[kind].batch_latency_ms, 3),
                "megabytes": round(costs[kind].size_bytes / 1e6, 3),
            }

        return {
            "metric": problem.objective.metric,
            "development_rows": len(problem.targets),
            "test_rows": len(targets),
            "single": found.recipes[0].describe(start),
            "kinds": [row(kind) for kind in stacks],
            "seconds": round(time.monotonic() - began, 1),
        }


CASES: dict[str, Callable[..., dict[str, Any]]] = dict.fromkeys(EPOCHS, measured)


def tally(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns means over seeds, by case and kind."""
    rows = []
    for case in EPOCHS:
        mine = [each for each in found if each["case"] == case]
        kinds = list(dict.fromkeys(row["kind"] for each in mine for row in each["kinds"]))
        for kind in kinds:
            same = [row for each in mine for row in each["kinds"] if row["kind"] == kind]
            rows.append(
                {
                    "case": case,
                    "kind": kind,
                    "n": len(same),
                    **{
                        name: round(float(np.mean([row[name] for row in same])), 5)
                        for name in ("value", "gain", "latency_ms", "latency_of_64_ms", "megabytes")
                    },
                    "shown_better": sum(row["interval"][0] > 0 for row in same),
                    "shown_worse": sum(row["interval"][1] < 0 for row in same),
                }
            )
    return rows


def main() -> None:
    """Measures what is missing and prints all of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True, help="JSONL file to append to")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--seeds", type=running.numbers, default=[0, 1, 2], help="0-2")
    given = parser.parse_args()
    from pawl.environment import hardware, versions

    images = given.records.with_name("cifar-5000.tar")
    for seed in given.seeds:
        for name in given.cases:

            def work(name: str = name, seed: int = seed) -> dict[str, Any]:
                return {"case": name, "seed": seed, **measured(name, seed, images)}

            record = running.computed(given.records, [name, seed], work)
            print(name, seed, record["seconds"], "s", file=sys.stderr)
    found = running.read(given.records)
    for each in found:
        each.pop("key", None)
    result = {
        "what": "test metric, latency and size of each kind of ensemble",
        "tally": tally(found),
        "runs": found,
        "hardware": hardware(),
        "versions": versions(),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
