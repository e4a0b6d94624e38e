"""What weights that were learned before are worth: fine-tuning in several ways against from scratch.

    python benchmarks/transfer.py --records runs/transfer.jsonl > benchmarks/results/transfer.json

Images: a small residual network (below) learns CIFAR-10's four vehicles once, and is adapted to its six
animals with 50, 200 and 1,000 images a class. Tables: pawl's network learns the income of people in half
of adult's occupations once, and is adapted to the others with 100, 400 and 1,600 rows.

Each way takes the same steps on the same rows, drawn by the seed; from scratch also with twice the
steps. Seconds of the processor are stated, and so is what the first learning took, which is not counted.
Each way's learning rate is the best of four on a pilot seed of the middle size, judged on rows that are
used for nothing else. What is compared is the score on test rows, by differences over seeds with a t
interval: it holds for other rows and seeds of these tasks and for this one first training, not for other
tasks or nets. Differences are not corrected for their number.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import running
import torch
from torch import Tensor, nn
from torch.nn import functional as F

VEHICLES = ("airplane", "automobile", "ship", "truck")
LEARNED, POOL, PILOT, TESTED = 2500, 1200, 300, 500
"""Images a class: of vehicles, of animals to draw from, for the pilot, and to test on."""
SIZES = {"images": (50, 200, 1000), "tables": (100, 400, 1600)}
STEPS = {"images": (100, 150, 250), "tables": (200, 300, 500)}
BATCH = {"images": 32, "tables": 32}
RATES = (3e-4, 1e-3, 4e-3, 1.6e-2)
PILOT_SEED = 1000
LONGER = 2
WAYS: dict[str, dict[str, Any]] = {
    "from_scratch": {"from_scratch": {}},
    "full": {},
    "linear_probe": {"linear_probe": {}},
    "low_rank_adapters": {"low_rank_adapters": {"rank": 4}},
    "discriminative_rates": {"discriminative_rates": {}},
    "l2_sp": {"l2_sp": {}},
    "gradual_unfreezing": {"gradual_unfreezing": {}},
}


class Residual(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Conv2d(channels_in, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Runs both ways."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class ResNet(nn.Module):
    """Three residual blocks behind a convolution."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.block1 = Residual(16, 16, 1)
        self.block2 = Residual(16, 32, 2)
        self.block3 = Residual(32, 64, 2)
        self.fc = nn.Linear(64, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images to logits."""
        x = F.relu(self.bn(self.stem(x)))
        return self.fc(self.block3(self.block2(self.block1(x))).mean((2, 3)))


def resnet(spec: Any) -> nn.Module:
    """Returns a fresh network."""
    return ResNet(spec.num_outputs)


def extract(archive: Path, out: Path) -> None:
    """Writes the images that are used, by class and part, as arrays."""
    from PIL import Image

    taken: Counter[tuple[str, ...]] = Counter()
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    with tarfile.open(archive) as source:
        for member in source:
            part = tuple(Path(member.name).parts)
            if not member.isfile() or len(part) != 3:
                continue
            most = TESTED if part[0] == "test" else POOL + PILOT
            if part[1] in VEHICLES:
                most = 0 if part[0] == "test" else LEARNED
            if taken[part[:2]] < most:
                taken[part[:2]] += 1
                file = source.extractfile(member)
                assert file is not None
                picture = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))
                found.setdefault((part[0], part[1]), []).append(picture.transpose(2, 0, 1))
    np.savez(out, **{"/".join(key): np.stack(each) for key, each in found.items()})


def recipe_of(rate: float, batch: int, way: str) -> Any:
    """Returns what is trained."""
    from pawl.recipe import Recipe

    return Recipe.from_dict({
        "standardize": {}, "batch_size": {"size": batch}, "one_cycle": {},
        "adamw": {"learning_rate": rate, "weight_decay": 0.01}, **WAYS[way],
    })  # fmt: skip


def trained(problem: Any, recipe: Any, seed: int, rows: Tensor, steps: int) -> Any:
    """Trains for about so many steps; returns what predicts, and the processor's seconds."""
    from pawl.training.population import Member, Population
    from pawl.training.run import Run
    from pawl.training.serial import SerialStepper
    from pawl.training.trained import from_outcome

    epochs = max(1, round(steps * recipe.batch_size / len(rows)))
    member = Member(recipe, seed, rows, rows[:0], epochs)
    started = time.process_time()
    run = Run(Population(problem, [member], SerialStepper()))
    while not run.finished():
        run.segment()
    (outcome,) = run.release(run.finished(), with_weights=[0])
    return from_outcome(problem, outcome), time.process_time() - started


class Images:
    """Vehicles, then animals."""

    metric = "accuracy"

    def __init__(self, file: Path) -> None:
        if not file.exists():
            extract(running.FILES / "cifar10.tar.xz", file)
        held = np.load(file)
        self.held = {name: held[name] for name in held.files}
        names = sorted({name.split("/")[1] for name in self.held})
        self.animals = [name for name in names if name not in VEHICLES]

    def _of(self, part: str, names: Any, pick: slice) -> tuple[np.ndarray, np.ndarray]:
        each = [self.held[f"{part}/{name}"][pick] for name in names]
        classes = [np.full(len(x), place) for place, x in enumerate(each)]
        return np.concatenate(each), np.concatenate(classes)

    def learn(self, out: Path) -> dict[str, Any]:
        """Trains on the vehicles and keeps the weights."""
        from safetensors.torch import save_file

        import pawl
        from pawl.data import load
        from pawl.training.problem import Problem

        task = pawl.Task(data=self._of("train", VEHICLES, slice(LEARNED)), model=resnet)
        problem = Problem.of(task, load(task, test_share=0.1))
        rows = torch.arange(len(problem.examples))
        recipe = recipe_of(4e-3, 64, "full")
        found, seconds = trained(problem, recipe, 0, rows, 8 * len(rows) // 64)
        lead = "body.module."
        tensors = {
            n.removeprefix(lead): x for n, x in found.tensors().items() if n.startswith(lead)
        }
        save_file(tensors, out)
        test = load(task, test_share=0.1).test
        value = float(
            (found.predict(test, torch.device("cpu")).argmax(1) == test.targets).float().mean()
        )
        return {"seconds": round(seconds, 1), "value": round(value, 4), "rows": len(rows)}

    def problem(self, weights: Path) -> Any:
        """Returns the animals' problem, and the rows to test on and for the pilot."""
        import pawl
        from pawl.data import load
        from pawl.data.types import Examples
        from pawl.training.problem import Problem

        pool, held = slice(POOL), slice(POOL, POOL + PILOT)
        pilot = self._of("train", self.animals, held)
        task = pawl.Task(
            data=self._of("train", self.animals, pool),
            test=self._of("test", self.animals, slice(TESTED)),
            model=resnet, weights=str(weights),
        )  # fmt: skip
        data = load(task)
        (name,) = data.test.inputs
        judged = Examples({name: torch.from_numpy(pilot[0])}, torch.from_numpy(pilot[1]))
        return Problem.of(task, data), data.test, judged

    def rows(self, size: int, seed: int, problem: Any) -> Tensor:
        """Draws so many images of each class."""
        generator = np.random.default_rng(seed)
        targets = problem.targets.numpy()
        each = [
            generator.permutation(np.flatnonzero(targets == one))[:size]
            for one in range(len(self.animals))
        ]
        return torch.from_numpy(generator.permutation(np.concatenate(each)))


class Tables:
    """Half of the occupations, then the other half."""

    metric = "roc_auc"

    def __init__(self, _: Path) -> None:
        parts = [running.FILES / f"adult-{part}.csv" for part in ("train", "test")]
        frame = pd.concat([pd.read_csv(part) for part in parts], ignore_index=True)
        frame = frame[frame["occupation"].astype(str) != "?"].dropna(subset="occupation")
        names = sorted(frame["occupation"].unique())
        first = frame["occupation"].isin(names[::2])
        self.known = frame[first].reset_index(drop=True)
        self.new = frame[~first].sample(frac=1.0, random_state=0).reset_index(drop=True)

    def learn(self, out: Path) -> dict[str, Any]:
        """Trains on the known occupations and keeps the bundle."""
        import pawl

        started = time.process_time()
        found = pawl.train(self.known, recipe_of(1e-3, 128, "full"), target="income", out=out)
        seconds = round(time.process_time() - started, 1)
        return {"seconds": seconds, "value": round(found.value, 4), "rows": len(self.known)}

    def problem(self, weights: Path) -> Any:
        """Returns the new occupations' problem, and the rows to test on and for the pilot."""
        import pawl
        from pawl.data import load
        from pawl.training.problem import Problem

        parts = self.new[:4000], self.new[4000:6000], self.new[6000:14000]
        task = pawl.Task(
            data=parts[0], test=pd.concat(parts[1:]), target="income", weights=str(weights)
        )
        data = load(task)
        count = torch.arange(len(data.test))
        return Problem.of(task, data), data.test.take(count[2000:]), data.test.take(count[:2000])

    def rows(self, size: int, seed: int, problem: Any) -> Tensor:
        """Draws so many rows."""
        order = np.random.default_rng(seed).permutation(len(problem.targets))
        return torch.from_numpy(order[:size])


SETS = {"images": Images, "tables": Tables}


def value_of(found: Any, rows: Any, metric: str) -> float:
    """Returns the score of a model."""
    from sklearn.metrics import roc_auc_score

    predicted = found.predict(rows, torch.device("cpu"))
    if metric == "accuracy":
        return float((predicted.argmax(1) == rows.targets).float().mean())
    return float(roc_auc_score(rows.targets.numpy(), predicted[:, 1].numpy()))


def measured(name: str, records: Path, seeds: int, ways: list[str]) -> None:
    """Measures what is missing of a set; appends to the records."""
    own = SETS[name](records.with_suffix(".images.npz"))
    weights = records.with_suffix(f".{name}.{'safetensors' if name == 'images' else 'bundle'}")
    running.computed(records, [name, "learned"], lambda: own.learn(weights))
    problem, test, pilot = own.problem(weights)
    print(*problem.notes, sep="\n", file=sys.stderr)
    middle, batch = SIZES[name][1], BATCH[name]
    best = {}
    for way in ways:

        def tried(rate: float, way: str = way) -> dict[str, Any]:
            rows = own.rows(middle, PILOT_SEED, problem)
            steps = STEPS[name][1]
            found, _ = trained(problem, recipe_of(rate, batch, way), PILOT_SEED, rows, steps)
            return {"value": round(value_of(found, pilot, own.metric), 5)}

        scores = {
            rate: running.computed(records, [name, "pilot", way, rate], partial(tried, rate))[
                "value"
            ]
            for rate in RATES
        }
        best[way] = max(scores, key=lambda rate: scores[rate])
    for seed in range(1, seeds + 1):
        for size, steps in zip(SIZES[name], STEPS[name], strict=True):
            longer = ["from_scratch_longer"] if "from_scratch" in best else []
            for way in (*best, *longer):
                plain = way.removesuffix("_longer")

                def one(
                    way: str = way, plain: str = plain, size: int = size, steps: int = steps
                ) -> Any:
                    taken = steps * (LONGER if way != plain else 1)
                    recipe = recipe_of(best[plain], batch, plain)
                    rows = own.rows(size, seed, problem)  # noqa: B023
                    found, seconds = trained(problem, recipe, seed, rows, taken)  # noqa: B023
                    value = round(value_of(found, test, own.metric), 5)
                    return {"value": value, "rate": best[plain], "seconds": round(seconds, 2)}

                made = running.computed(records, [name, size, way, seed], one)
                print(name, size, way, seed, made["value"], file=sys.stderr)


def summary(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns for each set, size and way its mean, and its gain over scratch and over full."""
    by: dict[tuple[Any, ...], dict[int, dict[str, Any]]] = {}
    for one in records:
        key = tuple(one["key"])
        if len(key) == 4 and key[1] != "pilot":
            by.setdefault(key[:3], {})[key[3]] = one
    found = []
    for (name, size, way), each in by.items():
        line: dict[str, Any] = {
            "data": name, "size": size, "way": way, "n": len(each),
            "value": round(float(np.mean([one["value"] for one in each.values()])), 4),
            "rate": next(iter(each.values()))["rate"],
            "seconds": round(float(np.mean([one["seconds"] for one in each.values()])), 2),
        }  # fmt: skip
        for other in ("from_scratch", "from_scratch_longer", "full"):
            theirs = by.get((name, size, other), {})
            seeds = sorted(set(each) & set(theirs))
            if way != other and len(seeds) > 1:
                gains = [each[s]["value"] - theirs[s]["value"] for s in seeds]
                line[f"over_{other}"] = running.t_interval(gains)
        found.append(line)
    return found


def main() -> None:
    """Measures what is missing and prints all of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True, help="JSONL file to append to")
    parser.add_argument("--sets", default=",".join(SETS), help="images, tables")
    parser.add_argument("--ways", default=",".join(WAYS), help="of those named above")
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.records.parent.mkdir(parents=True, exist_ok=True)
    for name in given.sets.split(","):
        measured(name, given.records, given.seeds, given.ways.split(","))
    from pawl.environment import hardware, versions

    records = running.read(given.records)
    first = [one for one in records if one["key"][1] in ("learned", "pilot")]
    result = {
        "what": "gains are mean, low and high of a 95% t interval over seeds, not corrected for their "
        "number",
        "results": summary(records), "before": first, "steps": STEPS, "batch": BATCH,
        "hardware": hardware(), "versions": versions(),
    }  # fmt: skip
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
