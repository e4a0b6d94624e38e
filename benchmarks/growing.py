"""Edits that keep the function of a trained network, and training on from there, against from scratch.

    python benchmarks/growing.py --records runs/growing.jsonl > benchmarks/results/growing.json

A network is trained by `pawl.train`, and its bundle is the start of the next one: `weights=bundle` and a
recipe with one technique that keeps what the network does. Images: a small residual network (below) on
200 of scikit-learn's digits. Tables: pawl's own network on 2,000 rows of adult.

Arms take the same rows and, of each structure, the same steps: `grown` goes on from the bundle with the
technique, `as_it_was` without it; `from_scratch` draws all weights of the changed structure anew, and
`from_scratch_longer` also takes the steps that the first training took. Processor seconds of the whole
command are stated. Learning rates, one for going on and one for from scratch, are the best of three of
the unchanged network, on a pilot with rows that are used for nothing else. Before the training, what the
changed network predicts of the test rows is compared with what the bundle's did.

What is compared is the score on test rows, by differences over seeds with a t interval. Seeds have
training rows of their own; test rows are the same. So it holds for other rows and seeds of these tasks,
on these test rows. Differences are not corrected for their number.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import running
import torch
from torch import Tensor, nn
from torch.nn import functional as F

RATES = (5e-4, 2e-3, 8e-3)
PILOT, SEEDS = 0, 5
"""The pilot's seed, and how many there are beside it: digits have no more rows."""
ARMS = ("grown", "as_it_was", "from_scratch", "from_scratch_longer")


class Block(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, taken: int, made: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(taken, made, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(made)
        self.second = nn.Conv2d(made, made, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(made)
        self.across = None if (taken, stride) == (made, 1) else nn.Conv2d(taken, made, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Runs both ways."""
        out = self.second_norm(self.second(F.relu(self.first_norm(self.first(x)))))
        return F.relu(out + (x if self.across is None else self.across(x)))


class Net(nn.Module):
    """Three blocks behind a convolution."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.stages = nn.Sequential(Block(8, 8), Block(8, 16, 2), Block(16, 16))
        self.head = nn.Linear(16, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images to logits."""
        return self.head(self.stages(F.relu(self.norm(self.stem(x)))).mean((2, 3)))


def net(spec: Any) -> nn.Module:
    """Returns a fresh network."""
    return Net(spec.num_outputs)


class Images:
    """Digits: 497 to test on, 200 for each seed; the last 300 are the pilot's."""

    techniques: ClassVar[dict[str, dict[str, Any]]] = {
        "width": {"factor": 1.5}, "blocks": {"change": 1}, "layer_scale": {}, "squeeze_excite": {},
        "self_attention": {},
    }  # fmt: skip
    metric, sign, batch, first, then = "log_loss", -1, 32, 30, 15

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        digits = load_digits()
        order = np.random.default_rng(0).permutation(len(digits.target))
        pixels = (16 * digits.images[order, None]).clip(0, 255).astype(np.uint8)
        self.rows = pixels, digits.target[order]

    def _of(self, start: int, count: int) -> tuple[Any, ...]:
        return tuple(each[start : start + count] for each in self.rows)

    def task(self, seed: int) -> Any:
        """Returns a seed's rows and those that judge, with the network."""
        import pawl

        rows = self._of(1497 if seed == PILOT else 297 + 200 * seed, 200)
        judged = self._of(1697, 100) if seed == PILOT else self._of(0, 497)
        return pawl.Task(data=rows, test=judged, model=net, metric=self.metric)


class Tables:
    """The income of people, 2,000 for each seed; pawl makes the network."""

    techniques: ClassVar[dict[str, dict[str, Any]]] = {
        "width": {"factor": 2.0}, "blocks": {"change": 1}, "residual": {},
    }  # fmt: skip
    metric, sign, batch, first, then = "roc_auc", 1, 64, 6, 3

    def __init__(self) -> None:
        train, test = (
            pd.read_csv(running.FILES / f"adult-{part}.csv") for part in ("train", "test")
        )
        self.train = train.sample(frac=1.0, random_state=0).reset_index(drop=True)
        self.test = test.sample(n=4000, random_state=0)

    def task(self, seed: int) -> Any:
        """Returns a seed's rows and those that judge."""
        import pawl

        rows = self.train.iloc[2000 * seed : 2000 * (seed + 1)]
        judged = self.train.iloc[-4000:] if seed == PILOT else self.test
        return pawl.Task(data=rows, test=judged, target="income", metric=self.metric)


SETS: dict[str, Any] = {"images": Images, "tables": Tables}


def recipe_of(own: Any, rate: float, technique: str | None, *, scratch: bool = False) -> Any:
    """Returns what is trained."""
    from pawl.recipe import Recipe

    made = Recipe.from_dict({
        "standardize": {}, "batch_size": {"size": own.batch}, "one_cycle": {},
        "adamw": {"learning_rate": rate, "weight_decay": 0.01},
    })  # fmt: skip
    if technique is not None:
        made = made.with_(technique, **own.techniques[technique])
    return made.with_("from_scratch") if scratch else made


def trained(task: Any, recipe: Any, epochs: int, seed: int, **given: Any) -> running.Record:
    """Trains by the public face; returns the score and the processor's seconds of all of it."""
    import pawl

    started = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        given.setdefault("out", Path(scratch) / "out")
        found = pawl.train(task, recipe, epochs=epochs, seed=seed, device="cpu", **given)
    seconds = time.process_time() - started
    return {"value": round(found.value, 5), "seconds": round(seconds, 2)}


def apart(task: Any, recipe: Any, without: Any, bundle: Path) -> running.Record:
    """Returns how far predictions of an edited network are from those before the edit, untrained.

    Raw outputs on test rows in evaluation: the largest difference, over the largest output, in four and
    in eight bytes a number; and the weights of both.
    """
    from pawl.data import load
    from pawl.training.problem import Problem

    data = load(replace(task, weights=str(bundle)))
    problem = Problem.of(replace(task, weights=str(bundle)), data)
    rows = data.test.take(torch.arange(min(256, len(data.test))))
    found, weights = {}, []
    for key in ("single", "double"):
        raw = []
        for each in (recipe, without):
            every = torch.arange(len(problem.examples))
            front, body, _ = problem.build(each, 0, every)
            given = front(rows.inputs)
            if key == "double":
                given = {n: x.double() if x.is_floating_point() else x for n, x in given.items()}
                body = body.double()
            with torch.no_grad():
                raw.append(body.eval()(given))
            weights.append(sum(x.numel() for x in body.parameters()))
        found[key] = float((raw[0] - raw[1]).abs().max() / raw[1].abs().max())
    return {"apart": found, "weights": weights[:2]}


def based(
    name: str, own: Any, seed: int, rate: float, records: Path
) -> tuple[Path, running.Record]:
    """Returns the bundle that a seed starts from, and its record; trained anew if it is not there."""
    place = records.with_suffix("") / f"{name}-{seed}"
    key = [name, "first", seed]
    if not (place / "bundle").is_dir():
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        found = trained(own.task(seed), recipe_of(own, rate, None), own.first, seed, out=place)
        running.computed(records, key, lambda: found)
    return place, running.computed(records, key, lambda: {})


def pilots(name: str, own: Any, records: Path) -> dict[str, float]:
    """Returns the learning rate of the best score on the pilot's rows, of the unchanged network.

    One for the first training, one for going on from it and one for as many steps from scratch.
    """

    def best(what: str, **given: Any) -> float:
        scratch, epochs = what == "from_scratch", own.first if what == "first" else own.then

        def tried(rate: float) -> running.Record:
            recipe = recipe_of(own, rate, None, scratch=scratch)
            return trained(own.task(PILOT), recipe, epochs, PILOT, **given)

        scores = {
            rate: running.computed(records, [name, "pilot", what, rate], partial(tried, rate))[
                "value"
            ]
            for rate in RATES
        }
        return max(scores, key=lambda rate: own.sign * scores[rate])

    found = {"first": best("first")}
    bundle, _ = based(name, own, PILOT, found["first"], records)
    return found | {what: best(what, weights=bundle) for what in ("continued", "from_scratch")}


def measured(name: str, records: Path, seeds: int, techniques: list[str]) -> None:
    """Measures what is missing of a set; appends to the records."""
    own = SETS[name]()
    rates = pilots(name, own, records)
    for technique in techniques:
        for seed in range(1, seeds + 1):
            bundle, _ = based(name, own, seed, rates["first"], records)
            compared(name, own, technique, seed, rates, bundle, records)


def compared(
    name: str,
    own: Any,
    technique: str,
    seed: int,
    rates: dict[str, float],
    bundle: Path,
    records: Path,
) -> None:
    """Measures what is missing of a technique and a seed."""
    task = own.task(seed)
    for arm in ARMS:
        scratch, longer = arm.startswith("from_scratch"), arm.endswith("longer")
        edit = None if arm == "as_it_was" else technique
        rate = rates["from_scratch" if scratch else "continued"]
        recipe = recipe_of(own, rate, edit, scratch=scratch)
        epochs = own.then + (own.first if longer else 0)

        def one(recipe: Any, epochs: int, rate: float) -> Any:
            found = trained(task, recipe, epochs, seed, weights=bundle)
            return {**found, "rate": rate, "epochs": epochs}

        key = [name, technique if edit else "-", arm, seed]
        made = running.computed(records, key, partial(one, recipe, epochs, rate))
        print(*key, made["value"], made["seconds"], file=sys.stderr, flush=True)
    edited, without = (recipe_of(own, rates["first"], t) for t in (technique, None))
    work = partial(apart, task, edited, without, bundle)
    running.computed(records, [name, technique, "apart", seed], work)


def summary(records: list[running.Record]) -> list[dict[str, Any]]:
    """Returns for each set and technique what its arms reached, and what growing gains over each."""
    by: dict[tuple[str, ...], dict[int, running.Record]] = {}
    for one in records:
        if one["key"][1] != "pilot":
            *key, seed = one["key"]
            by.setdefault(tuple(key), {})[seed] = one
    found = []
    for name, technique in dict.fromkeys(k[:2] for k in by if len(k) == 3 and k[1] != "-"):
        arms = {
            arm: by.get((name, "-" if arm == "as_it_was" else technique, arm), {}) for arm in ARMS
        }
        seeds = sorted(set.intersection(*map(set, arms.values())))
        if len(seeds) < 2:
            continue
        edits = [by[name, technique, "apart"][s] for s in seeds]
        before = [by[name, "first"][s] for s in seeds]
        sign = SETS[name].sign
        line: dict[str, Any] = {
            "data": name, "metric": SETS[name].metric, "technique": technique, "n": len(seeds),
            "settings": SETS[name].techniques[technique],
            "weights": edits[0]["weights"][::-1],
            "apart": {key: max(e["apart"][key] for e in edits) for key in ("single", "double")},
            "before": round(float(np.mean([b["value"] for b in before])), 4),
            "before_seconds": round(float(np.mean([b["seconds"] for b in before])), 2),
        }  # fmt: skip
        for arm, each in arms.items():
            values = np.array([each[s]["value"] for s in seeds])
            line[arm] = {
                "value": round(float(values.mean()), 4),
                "deviation": round(float(values.std(ddof=1)), 4),
                "seconds": round(float(np.mean([each[s]["seconds"] for s in seeds])), 2),
                "epochs": each[seeds[0]]["epochs"], "rate": each[seeds[0]]["rate"],
            }  # fmt: skip
            if arm != "grown":
                gains = [sign * (arms["grown"][s]["value"] - each[s]["value"]) for s in seeds]
                line[arm]["grown_over_it"] = running.t_interval(gains)
        line["grown_over_before"] = running.t_interval(
            [sign * (arms["grown"][s]["value"] - by[name, "first"][s]["value"]) for s in seeds]
        )
        found.append(line)
    return found


def main() -> None:
    """Measures what is missing and prints all of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True, help="JSONL file to append to")
    parser.add_argument("--sets", default=",".join(SETS), help="images, tables")
    parser.add_argument("--techniques", help="of each set; all by default")
    parser.add_argument("--seeds", type=int, default=SEEDS, choices=range(SEEDS + 1))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    given.records.parent.mkdir(parents=True, exist_ok=True)
    asked = given.techniques.split(",") if given.techniques else None
    for name in given.sets.split(","):
        chosen = [t for t in SETS[name].techniques if asked is None or t in asked]
        measured(name, given.records, given.seeds, chosen)
    from pawl.environment import hardware, versions

    records = running.read(given.records)
    result = {
        "what": "gains of growing (above 0: better) are mean, low and high of a 95% t interval over "
        "seeds, not corrected for their number; seconds are the processor's of one thread, of the whole "
        "command",
        "results": summary(records),
        "pilots": [one for one in records if one["key"][1] == "pilot"],
        "passes": {name: [own.first, own.then] for name, own in SETS.items()},
        "batch": {name: own.batch for name, own in SETS.items()},
        "hardware": hardware(), "versions": versions(),
    }  # fmt: skip
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
