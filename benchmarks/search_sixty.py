"""Whether a search over sixty techniques finds what one over thirty finds, in the same time.

    python benchmarks/search_sixty.py --records runs/sixty.jsonl > benchmarks/results/search_sixty.json
    python benchmarks/search_sixty.py --records runs/sixty.jsonl --cases wine-red --seeds 0-1   # a part

The default way of searching over the 31 techniques of `search.py`, and over these and 29 more (`MORE`)
that cost about as little, on the same rows, with the same seeds, for as many epochs, one after the
other. Compared by seed, sixty less thirty: the best validation score so far at each quarter, the gain of
the best recipe over the baseline on five pairs of fresh folds, and the ratio of the processor's time.
Intervals are t intervals over seeds, which draw rows, splits and searches anew; positive is better for
sixty. What is done is skipped.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import running
from search import CASES, EPOCHS, SHARES, SPACE, TRAININGS, best_at, searched

from pawl.environment import hardware, versions

METHOD = "edits"
MORE = (
    "adadelta", "adafactor", "adagrad", "heavy_ball", "lamb", "lars", "radam", "schedule_free",
    "input_scale", "layer_scale", "parametric_activation", "rms_norm", "drop_connect",
    "normalize", "robust_scale", "masking", "swap_noise", "constant", "cosine_restarts",
    "exponential_decay", "flat_cosine", "polynomial_decay", "step_decay", "adaptive_clipping",
    "gradient_centralization", "gradient_noise", "max_norm", "proximal_l1", "swa",
)  # fmt: skip
SPACES = {"thirty": SPACE, "sixty": (*SPACE, *MORE)}


def difference(one: dict[str, Any], other: dict[str, Any], share: float) -> float | None:
    """Returns by how much the first search's best is better at a share of the epochs."""
    sign = 1.0 if one["direction"] == "maximize" else -1.0
    mine, theirs = (best_at(each["course"], share * EPOCHS * TRAININGS) for each in (one, other))
    return None if mine is None or theirs is None else sign * (mine - theirs)


def compared(found: dict[tuple[Any, ...], dict[str, Any]], case: str) -> list[dict[str, Any]]:
    """Returns the differences on a data set, over the seeds that both spaces have, at least two."""
    seeds = [s for c, s, space in found if c == case and space == "sixty"]
    pairs = [
        (found[case, s, "sixty"], found[case, s, "thirty"])
        for s in sorted(seeds)
        if (case, s, "thirty") in found
    ]
    measures: dict[str, Callable[[dict[str, Any], dict[str, Any]], float | None]] = {
        f"best at {share:.0%}": partial(difference, share=share) for share in SHARES
    }
    measures["gain on fresh pairs"] = lambda one, other: one["gain"] - other["gain"]
    measures["log of the time's ratio"] = lambda one, other: math.log(
        one["processor_seconds"] / other["processor_seconds"]
    )
    rows = []
    for name, measure in measures.items():
        values = [x for pair in pairs if (x := measure(*pair)) is not None]
        if len(values) > 1:
            mean, low, high = running.t_interval(values)
            rows.append({
                "case": case, "what": name, "n": len(values), "mean": mean, "low": low, "high": high,
                "not worse": sum(x >= 0 for x in values),
            })  # fmt: skip
    return rows


def result(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns what is printed."""
    found = {tuple(r["key"]): r for r in records}
    return {
        "what": "the default search over sixty techniques against thirty, paired by seed",
        "method": METHOD,
        "epochs": EPOCHS * TRAININGS,
        "spaces": SPACES,
        "compared": [row for case in CASES for row in compared(found, case)],
        "searches": records,
        "hardware": hardware(),
        "versions": versions(),
    }


def main() -> None:
    """Measures what is missing and prints all of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True, help="JSONL file to append to")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--seeds", type=running.numbers, default=[0, 1, 2, 3, 4], help="0-4")
    parser.add_argument("--tally", action="store_true", help="run nothing")
    given = parser.parse_args()
    for seed in () if given.tally else given.seeds:
        for case in given.cases:
            for space, techniques in SPACES.items():
                search = partial(searched, case, seed, METHOD, techniques)
                one = running.computed(given.records, (case, seed, space), search)
                told = one["course"][-1], f"{one['gain']:.4g}", one["processor_seconds"]
                print(case, seed, space, *told, file=sys.stderr)
    print(json.dumps(result(running.read(given.records)), indent=2))


if __name__ == "__main__":
    main()
