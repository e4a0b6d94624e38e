"""The planner's choice beside every fixed way of training, on four kinds of network.

    python benchmarks/planner.py > benchmarks/results/planner.json
    python benchmarks/planner.py --records runs/planner.jsonl --nets attention   # a part of it

The same members are trained to their end by each way and by the planner's choice, in turns. A network
that `vmap` refuses can only be trained one by one. What the planner spends on timing and compiling
is stated beside, cold and from the user's cache. With --records, nets that are known are not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import running
import torch
from torch import Tensor, nn

from pawl.data import ModelSpec, load, split_rows
from pawl.environment import hardware, versions
from pawl.execution import Job, Plan, TrainingWay, driving, plan, train_all
from pawl.execution.devices import places
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.training.population import Member
from pawl.training.problem import Problem

ROWS, CLASSES = 2400, 4


class Attention(nn.Module):
    """A row's columns as tokens, one layer of self-attention."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.embed = nn.Linear(1, 16)
        self.position = nn.Parameter(0.02 * torch.randn(spec.num_features, 16))
        self.mix = nn.Linear(16, 48)
        self.out = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[B, F]` to `[B, O]`."""
        tokens = self.embed(x.unsqueeze(-1)) + self.position
        query, key, value = self.mix(tokens).chunk(3, dim=-1)
        weights = (query @ key.transpose(-1, -2) / 4.0).softmax(-1)
        return self.out((tokens + weights @ value).mean(1))  # type: ignore[no-any-return]


class Refused(nn.Module):
    """A multilayer perceptron with a branch on the data."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.first = nn.Linear(spec.num_features, 64)
        self.out = nn.Linear(64, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[B, F]` to `[B, O]`."""
        hidden = torch.relu(self.first(x))
        if float(hidden.sum()) < 0.0:
            hidden = -hidden
        return self.out(hidden)  # type: ignore[no-any-return]


def perceptron(spec: ModelSpec) -> nn.Module:
    """A multilayer perceptron."""
    return nn.Sequential(
        nn.Linear(spec.num_features, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
        nn.Linear(64, spec.num_outputs),
    )  # fmt: skip


def table(columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows of numbers and their classes."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(ROWS, columns)).astype(np.float32)
    return x, (x[:, :3].sum(1) > 0).astype(np.int64) + 2 * (x[:, 0] > 0).astype(np.int64)


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Returns images of 16 by 16 pixels and their classes."""
    generator = np.random.default_rng(0)
    classes = generator.integers(0, CLASSES, ROWS)
    pixels = generator.integers(0, 180, (ROWS, 3, 16, 16))
    for row, label in enumerate(classes):
        pixels[row, :, 4 * label : 4 * label + 4] += 60
    return pixels.astype(np.uint8), classes.astype(np.int64)


TASKS: dict[str, Callable[[], Task]] = {
    "perceptron": lambda: Task(data=table(30), model=perceptron),
    "convolution": lambda: Task(data=pictures()),
    "attention": lambda: Task(data=table(12), model=Attention),
    "refused_by_vmap": lambda: Task(data=table(30), model=Refused),
}
"""Each with the epochs of a trial."""
EPOCHS = {"perceptron": 16, "convolution": 1, "attention": 8, "refused_by_vmap": 8}


@dataclass(frozen=True, eq=False)
class Setting:
    """One network to train: its task, and members that differ in their seeds."""

    net: str
    problem: Problem
    members: list[Member]

    @classmethod
    def of(cls, net: str, count: int) -> Setting:
        """Returns the setting of a network, with so many members."""
        task = TASKS[net]()
        problem = Problem.of(task, load(task))
        recipe = Recipe.of(standardize={}, batch_size={"size": 64}, adamw={})
        if net == "convolution":
            recipe = Recipe.of(normalize={}, batch_size={"size": 64}, adamw={})
        train, valid = split_rows(problem.targets, problem.schema.kind, 0.2, 0)
        members = [Member(recipe, seed, train, valid, EPOCHS[net]) for seed in range(count)]
        return cls(net, problem, members)

    @property
    def steps(self) -> int:
        """Steps of a member."""
        return self.members[0].epochs * (len(self.members[0].train) // 64)

    def choose(self) -> tuple[Plan, float]:
        """Returns the planner's choice for these members, and the seconds it took."""
        first, ahead = self.members[0], self.steps * len(self.members)
        started = time.perf_counter()
        found = plan(
            self.problem,
            first.recipe,
            first,
            timed=True,
            training_seconds=lambda each: each * ahead,
        )
        return found, time.perf_counter() - started

    def ways(self) -> list[TrainingWay]:
        """Returns every fixed way to compare with: one thread, all threads, a process per core.

        Of the convolution, one member at a time, with channels last, too.
        """
        modes = ("serial",) if self.net == "refused_by_vmap" else ("serial", "fused")
        kinds = [
            (mode, width, False)
            for mode in modes
            for width in ((8, 64) if mode == "fused" else (8,))
        ]
        if "fused" in modes:
            kinds.append(("fused", 32, True))
        found = [
            TrainingWay(
                mode, width, compiled=compiled, workers=place.workers, threads=place.threads
            )
            for mode, width, compiled in kinds
            for place in places(self.problem.device, "auto")
        ]
        serial = [way for way in found if way.mode == "serial" and self.net == "convolution"]
        return [*found, *(replace(way, channels_last=True) for way in serial)]

    def seconds(self, chosen: Plan, most: int | None = None, limit: float = math.inf) -> float:
        """Trains the members (the first few if so wanted) by a plan; returns how long it took.

        Args:
            chosen: The plan.
            most: Members to train; all if `None`.
            limit: Seconds after which it is stopped; what it took until then is returned.
        """
        started = time.perf_counter()

        def beat() -> None:
            if time.perf_counter() - started > limit:
                raise _TooLong

        jobs = [Job(member) for member in self.members[:most]]
        try:
            results = train_all(self.problem, jobs, lambda _: chosen, heartbeat=beat)
        except _TooLong:
            return time.perf_counter() - started
        assert all(result.outcome.status == "completed" for result in results)
        return time.perf_counter() - started


class _TooLong(Exception):  # noqa: N818  (ends a training, not a program)
    pass


def compare(name: str, count: int, rounds: int) -> dict[str, Any]:
    """Times all ways on one network, in turns."""
    setting = Setting.of(name, count)
    chosen, cold = setting.choose()
    _, warm = setting.choose()
    plans = {str(way): Plan(way, "fixed") for way in setting.ways()}
    compiling: dict[str, float] = {}
    for label, fixed in plans.items():
        if fixed.way.compiled:
            started = time.perf_counter()
            setting.seconds(fixed, 32)
            compiling[label] = time.perf_counter() - started
    taken: dict[str, list[float]] = {}
    contestants = {**plans, "planner": chosen}
    for index in range(rounds):
        # In another order each round: who comes behind a long one may find the machine slower.
        for label in random.Random(index).sample(sorted(contestants), len(contestants)):
            each = contestants[label]
            taken.setdefault(label, []).append(setting.seconds(each))
            print(f"{name} round {index} {label}: {taken[label][-1]:.2f} s", file=sys.stderr)
    median = {label: statistics.median(each) for label, each in taken.items()}
    total = {label: median[label] + compiling.get(label, 0.0) for label in plans}
    best = min(total, key=lambda label: total[label])
    return {
        "net": name,
        "members": count,
        "steps": setting.steps,
        "planner": {"way": str(chosen.way), "seconds_cold": cold, "seconds_from_cache": warm},
        "seconds": {
            label: {
                "median": median[label],
                "least": min(each),
                "most": max(each),
                "n": len(each),
                "first_use": compiling.get(label, 0.0),
            }
            for label, each in taken.items()
        },
        "best_fixed": best,
        "planner_over_best": median["planner"] / median[best],
        "planner_over_best_by_round": [
            a / b for a, b in zip(taken["planner"], taken[best], strict=True)
        ],
    }


def main() -> None:
    """Prints the comparison as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nets", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--records", type=Path, help="JSONL file to append to and to go on from")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as folder, driving():
        os.environ |= {"PAWL_CACHE": f"{folder}/pawl", "TORCHINDUCTOR_CACHE_DIR": f"{folder}/code"}
        rows = []
        for net in given.nets:
            work = partial(compare, net, given.members, given.rounds)
            rows.append(running.computed(given.records, (net, given.members, given.rounds), work))
    record = {
        "what": "the planner's choice beside every fixed way of training, whole trials",
        "rows": rows, "hardware": hardware(), "versions": versions(),
    }  # fmt: skip
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
