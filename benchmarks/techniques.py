"""The effect of every technique at its defaults: the baseline with it against the baseline, paired.

    python benchmarks/techniques.py --records runs/techniques.jsonl > benchmarks/results/techniques.json
    python benchmarks/techniques.py --records runs/techniques.jsonl --only dropout,ema
    python benchmarks/techniques.py --records runs/techniques.jsonl --write   # the package's file

Ten pairs of repeated five-fold cross-validation over development rows: test rows are not looked at.
Each on the first two data sets that it fits: wine-red, the handwritten digits (as images), 3,000 rows
of adult, 1,000 images of CIFAR-10, two small tables, and those of `sets.py`: texts, sequences, networks
of a user's own that start from weights. A training is about as long as in a campaign of one or two
minutes. What a technique takes the place of (an optimizer of an optimizer) is out; what the baseline has
is compared with the baseline without it, AdamW with plain SGD, and batches of 128 rows with all rows in
one step. There is no correction for their number: of twenty that do nothing one seems to do something. A
technique that needs others, or another rate, shows less here than it can; a search tries both. Costs are
by the clock, of a machine that may have had other work.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import running
import torch
from deliver import Case, drawn, extract
from sets import OWN

PAIRS = 10
OUT = Path(__file__).resolve().parents[1] / "src" / "pawl" / "techniques" / "effects.json"


TRIED: dict[str, dict[str, Any]] = {"encoder": {"kind": "recurrent"}}
"""Settings of techniques whose defaults are what the baseline's network has."""
ENOUGH = 2
"""Data sets for each technique."""
SETS = {
    "wine-red": (Case("wine-red"), 40),
    "digits": (Case("digits"), 20),
    "adult": (Case("adult", 3000), 20),
    "cifar10": (Case("cifar10", 1000), 8),
    "boston-housing": (Case("boston-housing"), 60),
    "horse-colic": (Case("horse-colic"), 60),
}
"""Cases of `deliver.py`, and how many passes a training takes; `sets.OWN` has those that follow."""
OF_IMAGES = ("cifar10", "cifar10 anew", "cifar10 by blocks")
LEFT_OUT = ("standardize", "early_stopping")
"""What the baseline has and can do without."""
PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "adamw": ("sgd", {}),
    "batch_size": ("batch_size", {"size": 1048576}),
}
"""What the baseline has and cannot do without, and the plain thing it is compared with: SGD, and all
rows in one step."""


def _problem(name: str, images: Path) -> tuple[Any, int]:
    """Returns a data set's problem, and how many passes a training takes."""
    from pawl.data import load, resolve_task
    from pawl.execution import pick_device
    from pawl.task import Task
    from pawl.training.problem import Problem

    if name in OWN:
        own = OWN[name](images)
        task, epochs = Task(**own.task), own.epochs
    else:
        case, epochs = SETS[name]
        development, test, target = drawn(case, 0, images)
        task = resolve_task(development, target=target, test=test)
    return Problem.of(task, load(task, seed=0), pick_device("cpu")), epochs


def measured(name: str, techniques: list[str], images: Path, report: Any) -> None:
    """Measures techniques on a data set, one after the other.

    Args:
        name: Of the data set.
        techniques: Their names.
        images: The file with those of CIFAR-10.
        report: Is given each one's record.
    """
    from pawl.errors import RecipeError
    from pawl.evidence import Pairs
    from pawl.execution import Session, driving
    from pawl.ledger import Ledger
    from pawl.modalities import modality_of
    from pawl.search import baseline
    from pawl.techniques import refusal, technique

    problem, epochs = _problem(name, images)
    with (
        driving(),
        tempfile.TemporaryDirectory() as folder,
        Ledger.create(Path(folder) / "techniques", {}) as ledger,
    ):
        session = Session(problem, ledger, 0, epochs=epochs)
        facts = session.facts
        modality, start = modality_of(facts.schema).name, baseline(facts)
        pairs = Pairs(session, "techniques", torch.arange(len(problem.targets)))
        for each in techniques:
            known: dict[str, Any] = {"technique": each, "data": name, "modality": modality}
            reason = refusal(technique(each), facts)
            try:
                recipe, against = (start, start) if reason else compared(start, each)
            except RecipeError as error:
                reason = str(error)
            if reason or recipe == against:
                report({**known, "reason": reason or "the baseline has it"})
                continue
            pairs.run(f"against {each}", {against.id: against}, range(PAIRS))
            begun = time.monotonic()
            pairs.run(each, {each: recipe}, range(PAIRS))
            one = pairs.compare(recipe, against)
            low, high = one.interval
            before = problem.objective.sign * pairs.mean(against)
            report({
                **known, "metric": problem.objective.metric, "baseline": round(before, 5),
                "effect": round(one.effect, 5), "low": round(low, 5), "high": round(high, 5),
                "pairs": PAIRS,
                "cost": round(pairs.seconds(recipe) / max(pairs.seconds(against), 1e-9), 2),
                "rows": len(problem.targets), "epochs": session.epochs,
                "wall": round(time.monotonic() - begun, 1),
            })  # fmt: skip


def compared(start: Any, name: str) -> tuple[Any, Any]:
    """Returns a recipe with a technique, and what it is compared with: the baseline, if it can be.

    Raises:
        RecipeError: What is in the baseline excludes it.
    """
    from pawl.errors import RecipeError
    from pawl.recipe import Recipe
    from pawl.techniques import Stage, technique

    if name in LEFT_OUT and name in start:
        return start, start.without(name)
    if name in PLAIN and name in start:
        plain, settings = PLAIN[name]
        return start, start.with_(plain, **settings)
    if technique(name).stage is Stage.FIT:
        kept = {t.name: s.model_dump() for t, s in start if t.stage is Stage.DATA}
        kept.pop("batch_size", None)
        return Recipe.from_dict({**kept, name: {}}), start
    try:
        return start.with_(name, **TRIED.get(name, {})), start
    except RecipeError:  # what AdamW has of its own
        return start.with_("adam").with_(name), start.with_("adam")


def effects(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns what the package keeps."""
    kept = ("data", "modality", "metric", "baseline", "effect", "low", "high", "pairs", "cost")
    found: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if "effect" in record:
            found.setdefault(record["technique"], []).append({key: record[key] for key in kept})
    return {
        "what": "written by benchmarks/techniques.py: the gain of the baseline with a technique over "
        "the baseline, positive is better, with its 95% interval",
        "effects": dict(sorted(found.items())),
    }


def main() -> None:
    """Measures what is missing and prints all of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True, help="JSONL file to append to")
    parser.add_argument("--sets", default=",".join((*SETS, *OWN)), help="data sets; all by default")
    parser.add_argument("--only", default="", help="techniques; all by default")
    parser.add_argument("--write", action="store_true", help=f"write {OUT.name} of the package")
    given = parser.parse_args()
    from pawl.techniques import techniques

    names = given.only.split(",") if given.only else [t.name for t in techniques()]
    for name in () if given.write else given.sets.split(","):
        records = running.read(given.records)
        done = {(one["technique"], one["data"]) for one in records}
        counts = Counter(one["technique"] for one in records if "effect" in one)
        missing = [each for each in names if (each, name) not in done and counts[each] < ENOUGH]
        if missing:

            def report(record: dict[str, Any]) -> None:
                running.append(given.records, record)
                told = record.get("reason") or f"{record['effect']:+.4g} in {record['wall']:.0f} s"
                print(f"{record['data']} {record['technique']}: {told}", file=sys.stderr)

            images = given.records.with_suffix(".images.npz")
            if name in OF_IMAGES and not images.exists():
                extract(running.FILES / "cifar10.tar.xz", images)
            measured(name, missing, images, report)
    records = running.read(given.records)
    if given.write:
        OUT.write_text(json.dumps(effects(records), indent=1) + "\n", encoding="utf-8")
    from pawl.environment import hardware, versions

    result = {"techniques": records, "hardware": hardware(), "versions": versions()}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
