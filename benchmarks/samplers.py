"""What each sampler finds in as many trials: with the catalog as it is, and with useless techniques.

    python benchmarks/samplers.py --records runs/samplers.jsonl > benchmarks/results/samplers.json
    python benchmarks/samplers.py --records runs/samplers.jsonl --cases wine-red   # a part of it

A search by each sampler on development rows of `deliver.py`'s cases, 24 generations of 8 trials, the
known recipes first. Then the recipe with the best validation score is compared with the baseline on ten
pairs of fresh folds; test rows are not looked at. Each useless technique multiplies gradients by noise
of its own: one does next to no harm, fifteen at once do much. What is done is skipped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import running
import torch
from deliver import Case, drawn
from torch import Tensor

from pawl import rng
from pawl.environment import hardware, versions
from pawl.techniques import GradientContext, GradientTechnique, Settings, number, register

CASES = {
    case.name: (case, epochs)
    for case, epochs in (
        (Case("wine-red"), 30),
        (Case("boston-housing"), 40),
        (Case("adult", 1000), 30),
        (Case("diabetes"), 40),
        (Case("beijing-pm25", 2000), 30),
    )
}
SAMPLERS = ("edits", "tpe", "random")
USELESS = (0, 30)
_WIDTH, _GENERATIONS, _PAIRS = 8, 24, 10


class NoiseSettings(Settings):
    """Settings of the useless techniques."""

    strength: float = number(0.3, 0.1, 1.0, "standard deviation of the factor")


def noise(gradients: Tensor, weights: Tensor, context: GradientContext, settings: Any) -> Tensor:
    """Multiplies each entry of the gradients by a random factor around one."""
    drawn_ = rng.normal(context.key, tuple(weights.shape[1:]))
    return gradients * (1.0 + settings.strength[:, None] * drawn_)


def join(count: int) -> None:
    """Registers so many useless techniques for this process."""
    for index in range(count):
        register(
            GradientTechnique(
                name=f"useless_{index}",
                summary="Multiply gradients by noise.",
                reference="none",
                apply=noise,
                settings=NoiseSettings,
                memberwise=frozenset({"strength"}),
            )
        )


def searched(name: str, seed: int, sampler: str) -> dict[str, Any]:
    """Returns what one search found."""
    from pawl.data import load, resolve_task
    from pawl.evidence import Pairs
    from pawl.execution import Session, driving, pick_device
    from pawl.ledger import Ledger
    from pawl.recipe import Recipe
    from pawl.search import SearchPlan, Strategy, baseline, ranked, search
    from pawl.training.problem import Problem

    case, epochs = CASES[name]
    development, test, target = drawn(case, seed, Path())
    task = resolve_task(development, target=target, test=test)
    problem = Problem.of(task, load(task, seed=seed), pick_device("cpu"))
    with (
        driving(),
        tempfile.TemporaryDirectory() as folder,
        Ledger.create(Path(folder) / "search", {}) as ledger,
    ):
        session = Session(problem, ledger, seed, epochs=epochs)
        start = baseline(session.facts)
        plan = SearchPlan(_WIDTH, _WIDTH, _WIDTH * _GENERATIONS, None)
        began = time.monotonic()
        trials = search(session, start, plan, Strategy(sampler))
        seconds = time.monotonic() - began
        (best,) = ranked(trials, problem.objective.sign, 1)
        pairs = Pairs(session, "samplers", torch.arange(len(problem.targets)))
        pairs.run("pairs", {"baseline": start, "best": best}, range(_PAIRS))
        found = pairs.compare(best, start)
        proposed = [Recipe.from_dict(t.recipe) for t in trials if t.extra["source"] == "sampler"]
        return {
            "metric": problem.objective.metric,
            "baseline": problem.objective.sign * pairs.mean(start),
            "gain": found.effect,
            "standard_error": found.standard_error,
            "recipe": best.describe(start),
            "techniques_of_the_best": len(best.entries),
            "techniques_of_proposals": statistics.fmean(len(r.entries) for r in proposed),
            "useless_in_the_best": sum(t.name.startswith("useless") for t, _ in best),
            "seconds": round(seconds, 1),
        }


def tally(found: Sequence[dict[str, Any]], among: Sequence[str]) -> list[dict[str, Any]]:
    """Returns, by sampler and number of useless techniques, ranks and gains.

    Over all cases and seeds that were searched with each of these samplers.
    """
    rows = []
    for useless in USELESS:
        mine = [each for each in found if each["useless"] == useless]
        places = sorted({(each["case"], each["seed"]) for each in mine})
        by = {(each["sampler"], each["case"], each["seed"]): each for each in mine}
        whole = [p for p in places if all((sampler, *p) in by for sampler in among)]
        for sampler in among:
            own = [by[sampler, *place] for place in whole]
            if not own:
                continue
            ranks = [
                1 + sum(by[other, *place]["gain"] > by[sampler, *place]["gain"] for other in among)
                for place in whole
            ]
            # In units of the standard error, so that metrics can be averaged.
            relative = [
                each["gain"] / each["standard_error"] for each in own if each["standard_error"]
            ]
            rows.append(
                {
                    "useless": useless,
                    "sampler": sampler,
                    "n": len(own),
                    "mean_rank": float(np.mean(ranks)),
                    "mean_gain_in_standard_errors": float(np.mean(relative)),
                    "spread_of_it": float(np.std(relative)),
                    "better_than_the_baseline": sum(each["gain"] > 0 for each in own),
                    "techniques_of_proposals": float(
                        np.mean([each["techniques_of_proposals"] for each in own])
                    ),
                    "useless_in_the_best": float(np.mean([e["useless_in_the_best"] for e in own])),
                }
            )
    return rows


def main() -> None:
    """Measures what is missing and prints all of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True, help="JSONL file to append to")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--seeds", type=running.numbers, default=[0, 1], help="0-3")
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS, choices=SAMPLERS)
    parser.add_argument("--useless", type=int, default=0, choices=USELESS)
    parser.add_argument("--tally", action="store_true", help="run nothing")
    given = parser.parse_args()
    if not given.tally:
        join(given.useless)
        for seed in given.seeds:
            for name in given.cases:
                for sampler in given.samplers:
                    key = (name, seed, sampler, given.useless)
                    work = partial(searched, name, seed, sampler)
                    found = running.computed(given.records, key, work)
                    print(*key, found["gain"], file=sys.stderr)
    names = ("case", "seed", "sampler", "useless")
    records = [
        {**dict(zip(names, r["key"], strict=True)), **{k: v for k, v in r.items() if k != "key"}}
        for r in running.read(given.records)
    ]
    print(
        json.dumps(
            {
                "what": "gain over the baseline of the best recipe of a search, by sampler",
                "trials": _WIDTH * _GENERATIONS,
                "pairs": _PAIRS,
                "tally": tally(records, given.samplers),
                "tally of all samplers": tally(records, SAMPLERS),
                "searches": records,
                "hardware": hardware(),
                "versions": versions(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
