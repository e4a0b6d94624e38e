"""Tuning many configurations of one network: pawl's populations beside the usual loops.

    python benchmarks/populations.py > benchmarks/results/populations.json
    python benchmarks/populations.py --records runs/populations.jsonl --widths 16   # a part of it

Whole trials of a multilayer perceptron on Adult: learning rate, weight decay and betas drawn at
random, cosine schedule, an evaluation of ROC AUC on the validation rows after every epoch, early
stopping that keeps the best weights. Contestants take turns in every round:

- `pawl`: all configurations at once, as the planner decides for all rounds ahead, from empty caches;
  what planning and compiling took is stated beside, and `planning_included` charges it to one round.
- `optuna`: the usual loop, one trial after the other in eager PyTorch with default threads, batches
  gathered from resident tensors (faster than a DataLoader).
- `optuna_dataloader`: the same with a DataLoader, as Optuna's and PyTorch's own examples have it.
- `processes`: the resident loop in one single-thread process per core.
- `sklearn`: `MLPClassifier` under `RandomizedSearchCV`, one job per core (one-hot inputs).
- `floor`: the matrix products of pawl's steps alone, batched, in one single-thread process per core.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import running
import torch
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit, RandomizedSearchCV
from sklearn.neural_network import MLPClassifier
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from pawl.data import load, split_rows
from pawl.data.types import Inputs, ModelSpec
from pawl.environment import hardware, versions
from pawl.execution import Job, Plan, plan, train_all
from pawl.models.nets import EMBEDDING_WIDTH, Shape, TabularNet
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.training.population import Member
from pawl.training.problem import Problem

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "adult-train.csv"
BATCH, PATIENCE, CORES = 64, 3, os.cpu_count() or 1


@dataclass(frozen=True)
class Work:
    """What every contestant is given: a network, rows, and the length of a trial."""

    problem: Problem
    train: Tensor
    valid: Tensor
    width: int
    epochs: int
    prepared: Inputs

    @property
    def steps(self) -> int:
        """Steps of a whole trial."""
        return self.epochs * (len(self.train) // BATCH)

    @property
    def targets(self) -> Tensor:
        """Targets of all rows."""
        return self.problem.targets


def work_of(width: int, epochs: int) -> Work:
    """Returns the task with a network of this width, and inputs standardized ahead for the loops."""
    task = Task(data=str(DATA), target="income")
    problem = Problem.of(task, load(task))
    schema = problem.schema
    spec = ModelSpec(inputs=schema.inputs, num_outputs=schema.num_outputs, kind=schema.kind)

    def build(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return TabularNet(spec, Shape(width=width))

    problem = dataclasses.replace(problem, builder=build)
    train, valid = split_rows(problem.targets, "binary", 0.2, 0)
    front, _, _ = problem.build(Recipe.of(**recipe_tables({})), 0, train)
    with torch.no_grad():
        prepared = front(problem.examples.inputs)
    return Work(problem, train, valid, width, epochs, prepared)


def draw(seed: int) -> dict[str, float]:
    """Returns one configuration."""
    generator = np.random.default_rng(seed)
    return {
        "learning_rate": float(10 ** generator.uniform(-4, -1.5)),
        "weight_decay": float(10 ** generator.uniform(-4, 0)),
        "beta1": float(generator.uniform(0.8, 0.98)),
    }


def recipe_tables(configuration: dict[str, float]) -> dict[str, Any]:
    """Returns a configuration as pawl's recipe."""
    return {
        "standardize": {}, "batch_size": {"size": BATCH}, "adamw": configuration, "cosine": {},
        "early_stopping": {"patience": PATIENCE},
    }  # fmt: skip


def pawl(work: Work, chosen: Plan, count: int) -> float:
    """Trains configurations as populations; returns trials per second."""
    jobs = [
        Job(
            Member(Recipe.of(**recipe_tables(draw(i))), i, work.train, work.valid, work.epochs),
            keep=True,
        )
        for i in range(count)
    ]
    started = time.perf_counter()
    results = train_all(work.problem, jobs, lambda _: chosen)
    seconds = time.perf_counter() - started
    assert all(r.outcome.status in ("completed", "stopped", "diverged") for r in results)
    return count / seconds


def chosen_plan(work: Work, count: int) -> Plan:
    """Returns the planner's choice with this many configurations ahead."""
    recipe = Recipe.of(**recipe_tables({}))
    member = Member(recipe, 0, work.train, work.valid, work.epochs)
    return plan(
        work.problem, recipe, member, timed=True,
        training_seconds=lambda seconds: seconds * work.steps * count,
    )  # fmt: skip


def trial(work: Work, seed: int, loader: bool) -> float:
    """One whole trial in eager PyTorch; returns the best validation AUC."""
    configuration = draw(seed)
    model = work.problem.builder(seed)
    beta1 = configuration.pop("beta1")
    rate = configuration.pop("learning_rate")
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=rate, betas=(beta1, 0.999), **configuration
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, work.steps)
    best, stale, kept = -math.inf, 0, {}
    truth = work.targets[work.valid].numpy()
    held_out = {name: x[work.valid] for name, x in work.prepared.items()}
    for _ in range(work.epochs):
        model.train()
        for inputs, targets in (loaded if loader else resident)(work):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            chances = model(held_out).softmax(1)[:, 1].numpy()
        score = float(roc_auc_score(truth, chances)) if np.isfinite(chances).all() else -math.inf
        if score > best:
            best, stale = score, 0
            kept = {name: x.clone() for name, x in model.state_dict().items()}
        else:
            stale += 1
            if stale >= PATIENCE:
                break
    assert kept or best == -math.inf
    return best


def resident(work: Work) -> Iterator[tuple[Inputs, Tensor]]:
    """Yields batches gathered from resident tensors."""
    order = work.train[torch.randperm(len(work.train))]
    for start in range(0, len(order) - BATCH + 1, BATCH):
        rows = order[start : start + BATCH]
        yield {name: x[rows] for name, x in work.prepared.items()}, work.targets[rows]


def loaded(work: Work) -> Iterator[tuple[Inputs, Tensor]]:
    """Yields batches from a DataLoader."""
    names = list(work.prepared)
    columns = [work.prepared[name][work.train] for name in names]
    dataset = TensorDataset(*columns, work.targets[work.train])
    for *inputs, targets in DataLoader(dataset, BATCH, shuffle=True, drop_last=True):
        yield dict(zip(names, inputs, strict=True)), targets


def optuna_loop(work: Work, count: int, *, loader: bool) -> float:
    """The usual loop; returns trials per second."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))

    def objective(asked: optuna.Trial) -> float:
        return max(0.0, trial(work, asked.suggest_int("configuration", 0, 10**6), loader))

    started = time.perf_counter()
    study.optimize(objective, n_trials=count)
    return count / (time.perf_counter() - started)


def in_processes(work: Work, count: int, run: Callable[[int], Any]) -> float:
    """Calls `run` for every number below `count` in one single-thread process per core."""
    context = multiprocessing.get_context("fork")

    def loop(core: int) -> None:
        torch.set_num_threads(1)
        for seed in range(core, count, CORES):
            run(seed)
        os._exit(0)

    started = time.perf_counter()
    processes = [context.Process(target=loop, args=(core,)) for core in range(CORES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return count / (time.perf_counter() - started)


def sklearn(work: Work, count: int) -> float:
    """scikit-learn's search; returns trials per second."""
    parts = []
    for name, x in work.prepared.items():
        if name == "categorical":
            parts += [F.one_hot(column).float() for column in x.T]
        else:
            parts.append(x)
    rows = torch.cat([work.train, work.valid])
    inputs, targets = torch.cat(parts, 1)[rows].numpy(), work.targets[rows].numpy()
    fold = np.r_[np.full(len(work.train), -1), np.zeros(len(work.valid), int)]
    model = MLPClassifier(
        (work.width, work.width), batch_size=BATCH, max_iter=work.epochs, early_stopping=True,
        n_iter_no_change=PATIENCE, validation_fraction=0.1, random_state=0,
    )  # fmt: skip
    space = {"learning_rate_init": np.logspace(-4, -1.5, 100), "alpha": np.logspace(-6, 0, 100)}
    search = RandomizedSearchCV(
        model, space, n_iter=count, scoring="roc_auc", cv=PredefinedSplit(fold), n_jobs=CORES,
        refit=False, random_state=0,
    )  # fmt: skip
    started = time.perf_counter()
    search.fit(inputs, targets)
    return count / (time.perf_counter() - started)


def floor(work: Work, members: int, count: int) -> float:
    """The matrix products of whole trials alone; returns trials per second."""
    spec = work.problem.builder(0)
    assert isinstance(spec, TabularNet)
    features, width = spec.stem.layer.in_features, work.width
    shapes = [(features, width), (width, width), (width, 2)]
    batches = [torch.randn(members, BATCH, i) for i, _ in shapes]
    errors = [torch.randn(members, BATCH, o) for _, o in shapes]
    weights = [torch.randn(members, i, o) for i, o in shapes]
    held_out = [torch.randn(members, len(work.valid) // 16, i) for i, _ in shapes]
    assert features > EMBEDDING_WIDTH

    def trials(_: int) -> None:
        for _ in range(work.steps):
            for x, w, e in zip(batches, weights, errors, strict=True):
                torch.bmm(x, w)
                torch.bmm(x.transpose(1, 2), e)
                torch.bmm(e, w.transpose(1, 2))
        for _ in range(work.epochs * 16):
            for x, w in zip(held_out, weights, strict=True):
                torch.bmm(x, w)

    populations = max(CORES, math.ceil(count / members / CORES) * CORES)
    return members * in_processes(work, populations, trials)


@contextlib.contextmanager
def cold_caches() -> Iterator[None]:
    """Forgets timings and compiled code, so that the first round pays for both."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"PAWL_CACHE": f"{folder}/pawl", "TORCHINDUCTOR_CACHE_DIR": f"{folder}/code"}
        yield


def compare(width: int, epochs: int, counts: list[int], rounds: int, slow: int) -> dict[str, Any]:
    """Runs all contestants on a network's width, in turns."""
    work = work_of(width, epochs)
    rates: dict[str, list[float]] = {}
    plans: dict[str, Any] = {}
    for count in counts:
        started = time.perf_counter()
        chosen = chosen_plan(work, rounds * count)
        plans[str(count)] = {
            "way": str(chosen.way), "seconds_to_plan": round(time.perf_counter() - started, 2),
        }  # fmt: skip
        plans[str(count)]["chosen"] = chosen
    members = plans[str(counts[-1])]["chosen"].width
    contestants: dict[str, Callable[[], float]] = {
        "optuna": lambda: optuna_loop(work, slow, loader=False),
        "optuna_dataloader": lambda: optuna_loop(work, max(1, slow // 2), loader=True),
        "processes": lambda: in_processes(work, 2 * slow, lambda seed: trial(work, seed, False)),
        "sklearn": lambda: sklearn(work, slow),
        "floor": lambda: floor(work, members, 2 * members),
        **{
            f"pawl_{count}": lambda count=count: pawl(work, plans[str(count)]["chosen"], count)
            for count in counts
        },
    }
    for index in range(rounds):
        for name, run in contestants.items():
            rates.setdefault(name, []).append(run())
            print(f"width {width} round {index} {name} {rates[name][-1]:.3g}/s", file=sys.stderr)
    top = f"pawl_{counts[-1]}"
    largest = plans[str(counts[-1])]
    median = {name: statistics.median(each) for name, each in rates.items()}
    seconds = counts[-1] / median[top]
    return {
        "net_width": width,
        "steps_of_a_trial": work.steps,
        "plans": {n: {k: v for k, v in p.items() if k != "chosen"} for n, p in plans.items()},
        "trials_per_second": {
            name: {"median": median[name], "least": min(each), "most": max(each), "n": len(each)}
            for name, each in rates.items()
        },
        "times_faster": {
            name: {
                "median": median[top] / median[name],
                "by_round": [a / b for a, b in zip(rates[top], rates[name], strict=True)],
                "planning_included": counts[-1]
                / (seconds + largest["seconds_to_plan"])
                / median[name],
            }
            for name in ("optuna", "optuna_dataloader", "processes", "sklearn")
        },
        "share_of_floor": median[top] / median["floor"],
    }


def main() -> None:
    """Prints the comparison as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--counts", type=int, nargs="+", default=[16, 256])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--slow", type=int, default=3, help="trials of the loops in a round")
    parser.add_argument("--records", type=Path, help="JSONL file to append to and to go on from")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    with cold_caches():
        rows = []
        for width in given.widths:
            size = (width, given.epochs, given.counts, given.rounds, given.slow)
            rows.append(running.computed(given.records, size, partial(compare, *size)))
    record = {
        "what": "tuning a multilayer perceptron on Adult, whole trials",
        "batch": BATCH, "epochs": given.epochs, "rounds": given.rounds, "rows": rows,
        "hardware": hardware(), "versions": versions(),
    }  # fmt: skip
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
