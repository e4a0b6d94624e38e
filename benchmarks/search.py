"""Best so far over the epochs trained: each way of searching, and plain Optuna on the same space.

    python benchmarks/search.py --records runs/search.jsonl > benchmarks/results/search.json
    python benchmarks/search.py --records runs/search.jsonl --methods edits gp --seeds 0-1   # a part
    python benchmarks/search_picture.py benchmarks/results/search.json docs/search.svg

A search by each method over 31 techniques (`SPACE`) on development rows of two of `deliver.py`'s data
sets, until as many epochs as 30 whole trainings of 9 have been trained; epochs and not seconds, so that
a busy machine changes nothing. Pawl's methods start with the recipes that are known to be good, as in
campaigns; plain Optuna (TPE with its defaults, one training after the other, each to its end) starts
with the baseline, which is enqueued. Best so far is by the validation score that the search goes by. The
best recipe of each is then compared with the baseline on five pairs of fresh folds of the development
rows. The default is compared with each other by pairs of searches. What is done is skipped.
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

from pawl.environment import hardware, versions

CASES = {case.name: case for case in (Case("adult", 3000), Case("wine-red"))}
METHODS = (
    "edits", "edits,none", "edits,hyperband", "edits,pbt", "genetic", "tpe", "gp", "cma-es", "random",
    "plain optuna",
)  # fmt: skip
EPOCHS, TRAININGS, _WIDTH, _PAIRS = 9, 30, 8, 5
SPACE = (
    "adam", "adamw", "lion", "momentum", "nadam", "rmsprop", "sgd", "batch_size", "activation",
    "batch_norm", "depth", "dropout", "initialization", "layer_norm", "residual", "width",
    "power_transform", "quantile_normal", "standardize", "cosine", "linear_decay", "one_cycle",
    "warmup_stable_decay", "early_stopping", "ema", "gradient_clipping", "huber", "label_smoothing",
    "mixup", "noise", "weight_decay",
)  # fmt: skip
"""What may come in or vary: techniques whose step costs little more than a plain one."""
SHARES = (0.25, 0.5, 0.75, 1.0)


def searched(
    name: str, seed: int, method: str, techniques: Sequence[str] = SPACE
) -> dict[str, Any]:
    """Returns what one search over these techniques found, and when."""
    from optuna.samplers import TPESampler

    import pawl
    from pawl.data import load, resolve_task
    from pawl.execution import Session, driving, pick_device
    from pawl.ledger import Ledger
    from pawl.search import (
        OptunaSampler,
        Space,
        Strategy,
        baseline,
        is_known_turn,
        ranked,
        starts,
        unregister_sampler,
    )
    from pawl.search.asking import Asked, run_asked
    from pawl.training.problem import Problem

    plain = method == "plain optuna"
    if plain:
        unregister_sampler("plain")
        pawl.register_sampler(
            "plain",
            lambda space, own, history: OptunaSampler(
                space, own, history, make=lambda each: TPESampler(seed=each)
            ),
        )
    strategy = Strategy("plain", "none") if plain else Strategy.of(method)
    width = 1 if plain else _WIDTH
    development, test, target = drawn(CASES[name], seed, Path())
    task = resolve_task(development, target=target, test=test)
    data = load(task, seed=seed)
    problem = Problem.of(task, data, pick_device("cpu"))
    sign = problem.objective.sign
    with (
        driving(),
        tempfile.TemporaryDirectory() as folder,
        Ledger.create(Path(folder) / "search", {}) as ledger,
    ):
        session = Session(problem, ledger, seed, epochs=EPOCHS, executor="inline")
        start = baseline(session.facts)
        good = starts(start, session.facts, techniques)
        known = [start] if plain else [*good[:1], start, *good[1:]]
        space = Space(start, session.facts, techniques)
        trials, spent, best, course = [], 0.0, None, []
        began, used = time.monotonic(), time.process_time()
        rows = len(session.rows.search[0])
        generation = 0
        while spent < EPOCHS * TRAININGS:
            first = known.pop(0) if known and is_known_turn(generation) else None
            asked = Asked(generation, width, width, None)
            _, found = run_asked(session, space, asked, strategy, tuple(trials), first)
            trials += found
            generation += 1
            for trial in found:
                spent += _epochs(trial, rows)
                ended = trial.status in ("completed", "stopped") and trial.score is not None
                if ended and (best is None or sign * trial.score > sign * best):
                    best = trial.score
                    course.append([round(spent, 2), best])
        seconds, used = time.monotonic() - began, time.process_time() - used
        (winner,) = ranked(trials, sign, 1)
        proof = _proven(session, start, winner)
        return {
            "metric": problem.objective.metric,
            "direction": "maximize" if sign > 0 else "minimize",
            "course": course,
            "epochs": round(spent, 1),
            "trials": len(trials),
            "failed": sum(t.status in ("failed", "diverged") for t in trials),
            "recipe": winner.describe(start),
            **proof,
            "seconds": round(seconds, 1),
            "processor_seconds": round(used, 1),
        }


def _epochs(trial: Any, rows: int) -> float:
    """Returns how many passes over the training rows a trial took."""
    size = trial.recipe.get("batch_size", {}).get("size", 128)
    return float(trial.steps * min(size, rows) / rows)


def _proven(session: Any, start: Any, winner: Any) -> dict[str, float]:
    """Returns the winner's gain over the baseline on fresh pairs."""
    from pawl.evidence import Pairs

    pairs = Pairs(session, "search benchmark", torch.arange(len(session.problem.targets)))
    if winner == start:
        return {"gain": 0.0, "standard_error": 0.0, "baseline": float("nan")}
    pairs.run("pairs", {"baseline": start, "best": winner}, range(_PAIRS))
    found = pairs.compare(winner, start)
    return {
        "gain": found.effect,
        "standard_error": found.standard_error,
        "baseline": session.problem.objective.sign * pairs.mean(start),
    }


def best_at(course: Sequence[Sequence[float]], epochs: float) -> float | None:
    """Returns the best score once so many epochs were trained; `None` before the first."""
    scores = [score for at, score in course if at <= epochs]
    return scores[-1] if scores else None


def quarters(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns for each data set and method the best so far at each quarter, over the whole seeds.

    A seed is whole if every method that was run at all on the data set was run with it.

    `mean_rank` is over seeds, among the methods of that data set, ties sharing their mean rank.
    """
    rows = []
    for case in CASES:
        mine = [each for each in found if each["case"] == case]
        by = {(each["method"], each["seed"]): each for each in mine}
        methods = [m for m in METHODS if any(m == each["method"] for each in mine)]
        seeds = [s for s in sorted({e["seed"] for e in mine}) if all((m, s) in by for m in methods)]
        for share in SHARES if seeds else ():
            at = {
                (m, seed): best_at(by[m, seed]["course"], share * EPOCHS * TRAININGS)
                for m in methods
                for seed in seeds
            }
            for method in methods:
                values = [at[method, seed] for seed in seeds]
                known = [value for value in values if value is not None]
                sign = 1.0 if by[method, seeds[0]]["direction"] == "maximize" else -1.0
                ranks = [_rank(sign, at, methods, method, seed) for seed in seeds]
                rows.append(
                    {
                        "case": case, "method": method, "share": share, "n": len(known),
                        "mean": statistics.fmean(known),
                        "spread": statistics.pstdev(known) if len(known) > 1 else 0.0,
                        "mean_rank": statistics.fmean(ranks),
                    }
                )  # fmt: skip
    return rows


def _rank(
    sign: float,
    at: dict[tuple[str, int], float | None],
    methods: Sequence[str],
    own: str,
    seed: int,
) -> float:
    def value(method: str) -> float:
        found = at[method, seed]
        return -np.inf if found is None else sign * found

    mine = value(own)
    better = sum(value(other) > mine for other in methods)
    equal = sum(value(other) == mine for other in methods)
    return 1 + better + (equal - 1) / 2


def against(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns by how much the default's best so far is better than each method's, at each quarter.

    Pairs are searches of the same data set and seed; a difference is a share of the method's own best,
    so that both data sets count alike. Intervals are t intervals over the pairs, without a correction
    for the number of methods.
    """
    by = {(each["case"], each["seed"], each["method"]): each for each in found}
    rows = []
    for method in METHODS[1:]:
        own = [key for key in by if key[2] == method and (*key[:2], METHODS[0]) in by]
        for share in SHARES if len(own) > 1 else ():
            gaps = []
            for key in own:
                one, other = by[(*key[:2], METHODS[0])], by[key]
                sign = 1.0 if one["direction"] == "maximize" else -1.0
                mine, theirs = (
                    best_at(each["course"], share * EPOCHS * TRAININGS) for each in (one, other)
                )
                if mine is not None and theirs is not None:
                    gaps.append(sign * (mine - theirs) / abs(theirs))
            mean, low, high = running.t_interval(gaps)
            numbers = {"n": len(gaps), "mean": mean, "low": low, "high": high}
            rows.append({"against": method, "share": share, **numbers})
    return rows


def gains(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns for each data set and method the gain of its best recipes on fresh pairs."""
    rows = []
    for case in CASES:
        for method in METHODS:
            own = [e for e in found if e["case"] == case and e["method"] == method]
            if own:
                rows.append(
                    {
                        "case": case, "method": method, "n": len(own),
                        "mean_gain": statistics.fmean(e["gain"] for e in own),
                        "spread": statistics.pstdev([e["gain"] for e in own]),
                        "better_than_the_baseline": sum(e["gain"] > 0 for e in own),
                        "mean_trials": statistics.fmean(e["trials"] for e in own),
                        "mean_seconds": statistics.fmean(e["seconds"] for e in own),
                    }
                )  # fmt: skip
    return rows


def main() -> None:
    """Measures what is missing and prints all of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True, help="JSONL file to append to")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--seeds", type=running.numbers, default=[0, 1, 2, 3, 4], help="0-4")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--tally", action="store_true", help="run nothing")
    given = parser.parse_args()
    if not given.tally:
        for seed in given.seeds:
            for name in given.cases:
                for method in given.methods:
                    key = (name, seed, method)
                    found = running.computed(given.records, key, partial(searched, *key))
                    last = found["course"][-1]
                    print(*key, last, f"{found['gain']:.4g}", found["seconds"], file=sys.stderr)
    names = ("case", "seed", "method")
    records = [
        {**dict(zip(names, r["key"], strict=True)), **{k: v for k, v in r.items() if k != "key"}}
        for r in running.read(given.records)
    ]
    print(
        json.dumps(
            {
                "what": "best validation score so far over epochs trained, by way of searching",
                "epochs_of_a_training": EPOCHS,
                "trainings": TRAININGS,
                "space": SPACE,
                "pairs": _PAIRS,
                "quarters": quarters(records),
                "the default against": against(records),
                "gains on fresh pairs": gains(records),
                "searches": records,
                "hardware": hardware(),
                "versions": versions(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
