"""The planner's choice beside every fixed way of training, on four kinds of network.

    python benchmarks/planner.py > benchmarks/results/planner.json

The same members are trained to their end by each way and by the planner's choice, in turns. A network
that `vmap` refuses can only be trained one by one. What the planner spends on timing and compiling
is stated beside, cold and from the user's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pawl.data import ModelSpec, load, split_rows
from pawl.environment import hardware, versions
from pawl.execution import Job, Plan, Way, plan, train_all
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


def seconds(problem: Problem, members: list[Member], chosen: Plan) -> float:
    """Trains the members by a plan; returns how long it took."""
    started = time.perf_counter()
    results = train_all(problem, [Job(member) for member in members], lambda _: chosen)
    assert all(result.outcome.status == "completed" for result in results)
    return time.perf_counter() - started


def compare(name: str, count: int, rounds: int) -> dict[str, Any]:
    """Times all ways on one network, in turns."""
    task = TASKS[name]()
    problem = Problem.of(task, load(task))
    recipe = Recipe.of(standardize={}, batch_size={"size": 64}, adamw={})
    if name == "convolution":
        recipe = Recipe.of(normalize={}, batch_size={"size": 64}, adamw={})
    train, valid = split_rows(problem.targets, problem.schema.kind, 0.2, 0)
    members = [Member(recipe, seed, train, valid, EPOCHS[name]) for seed in range(count)]
    steps = EPOCHS[name] * (len(train) // 64)

    def choose() -> tuple[Plan, float]:
        started = time.perf_counter()
        found = plan(
            problem, recipe, members[0], timed=True, ahead=lambda each: each * steps * count
        )
        return found, time.perf_counter() - started

    chosen, cold = choose()
    _, warm = choose()
    cores = torch.get_num_threads()
    modes = ("serial",) if name == "refused_by_vmap" else ("serial", "fused")
    ways = [
        Way(mode, width, workers=workers)
        for mode in modes
        for width in ((8, 64) if mode == "fused" else (8,))
        for workers in (1, cores)
    ]
    if "fused" in modes:
        ways += [Way("fused", 32, compiled=True, workers=workers) for workers in (1, cores)]
    plans = {str(way): Plan(way, "fixed") for way in ways}
    compiling: dict[str, float] = {}
    for label, fixed in plans.items():
        if fixed.way.compiled:
            started = time.perf_counter()
            seconds(problem, members[:32], fixed)
            compiling[label] = time.perf_counter() - started
    taken: dict[str, list[float]] = {}
    contestants = {**plans, "planner": chosen}
    for index in range(rounds):
        # In another order each round: who comes behind a long one may find the machine slower.
        for label in random.Random(index).sample(sorted(contestants), len(contestants)):
            each = contestants[label]
            taken.setdefault(label, []).append(seconds(problem, members, each))
            print(f"{name} round {index} {label}: {taken[label][-1]:.2f} s", file=sys.stderr)
    median = {label: statistics.median(each) for label, each in taken.items()}
    total = {label: median[label] + compiling.get(label, 0.0) for label in plans}
    best = min(total, key=lambda label: total[label])
    return {
        "net": name,
        "members": count,
        "steps": steps,
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
    parser.add_argument("--nets", nargs="+", default=list(TASKS))
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"PAWL_CACHE": f"{folder}/pawl", "TORCHINDUCTOR_CACHE_DIR": f"{folder}/code"}
        rows = [compare(net, given.members, given.rounds) for net in given.nets]
    record = {
        "what": "the planner's choice beside every fixed way of training, whole trials",
        "rows": rows, "hardware": hardware(), "versions": versions(),
    }  # fmt: skip
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
