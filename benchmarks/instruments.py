"""What instruments on every training cost: time of a step with and without, in pairs, in turns.

    python benchmarks/instruments.py --pairs 20 > benchmarks/results/instruments.json

A perceptron on census income, a convolutional net and an attention net on digits, each trained one
member after the other (`serial`), some at once (`fused`) and by a compiled step (`compiled`). Two
trainings of the same members, one with instruments, take turns by segments of an epoch, each of them
first every second time; a pair is some segments of each. Both must end with the same weights, bit for
bit. Time is what this process computed (CPU time, so that others on the machine count less) for all
that a training does: steps, evaluations, and readings, the first one included. The ratio is of all
pairs' sums; its 95% interval is from how pairs differ from it (t). `readings_share` is the time in
readings alone, over that of the training without: what they cost but for what they do to steps.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from diagnosis_faults import Cnn, Mlp, adult
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

import pawl
from pawl.data import load
from pawl.environment import hardware, versions
from pawl.training.fused import FusedStepper
from pawl.training.instruments import SHARE, Instruments
from pawl.training.population import Member, Population, Stepper
from pawl.training.problem import Problem
from pawl.training.run import Run
from pawl.training.serial import SerialStepper

MEMBERS = {"serial": 1, "fused": 4, "compiled": 4}
EPOCHS = 100_000  # more than are taken
STEPPERS: dict[str, Callable[[], Stepper]] = {
    "serial": SerialStepper,
    "fused": FusedStepper,
    "compiled": lambda: FusedStepper(backend="inductor", width=MEMBERS["compiled"]),
}
RECIPE = pawl.Recipe.of(batch_size={"size": 64}, adamw={"learning_rate": 1e-3})


class Attention(nn.Module):
    """Rows of an image as a sequence: two layers of attention and a perceptron, normalized before."""

    def __init__(self, spec: Any, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.stem, self.heads = nn.Linear(8, width), heads
        self.place = nn.Parameter(0.02 * torch.randn(8, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.mixed = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(2))
        self.joined = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.wide = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(2))
        self.narrow = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(2))
        self.out = nn.Linear(width, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Predicts."""
        x = self.stem(x.float().flatten(1).unflatten(1, (8, 8))) + self.place
        for i in range(2):
            parts = self.mixed[i](self.norms[2 * i](x)).chunk(3, dim=-1)
            q, k, v = (p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts)
            seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = x + self.joined[i](seen)
            x = x + self.narrow[i](F.gelu(self.wide[i](self.norms[2 * i + 1](x))))
        return self.out(x.mean(1))


@functools.cache
def problem(net: str) -> Problem:
    """Returns the task of a net."""
    if net == "mlp":
        known = adult(np.random.default_rng(0))
        task = pawl.Task(data=known.data, model=Mlp, target="income")
    else:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = digits.images[:, None].astype(np.float32) / 16.0
        task = pawl.Task(data=(images, digits.target), model=Cnn if net == "conv" else Attention)
    return Problem.of(task, load(task))


class Timed(Instruments):
    """Instruments of which is known what this process computed for readings, in seconds."""

    computed = 0.0

    def _guarded(self, part: Any, *given: Any) -> Any:
        started = time.process_time()
        try:
            return super()._guarded(part, *given)
        finally:
            self.computed += time.process_time() - started


def fresh(net: str, mode: str, share: float) -> Run:
    """Returns a training at its start; those of a net and a mode differ in nothing but the share."""
    made = problem(net)
    rows = torch.arange(len(made.targets))
    recipe = RECIPE.with_("standardize") if net == "mlp" else RECIPE
    members = [
        Member(recipe, seed, rows[200:], rows[:200], EPOCHS) for seed in range(MEMBERS[mode])
    ]
    run = Run(Population(made, members, STEPPERS[mode]()), instruments=share)
    run.instruments = Timed(run.population, share)
    return run


def spent(run: Run) -> float:
    """Takes a segment of a training; returns the seconds that this process computed for it."""
    started = time.process_time()
    run.segment()
    return time.process_time() - started


def compared(net: str, mode: str, seconds: float, pairs: int) -> dict[str, Any]:
    """Returns the ratio of times with instruments and without."""
    tried = fresh(net, mode, 0.0)
    spent(tried)  # compiled, and warm
    segments = max(1, round(seconds / spent(tried)))
    both = fresh(net, mode, 0.0), fresh(net, mode, SHARE)
    plain, read = both
    for run in both:
        spent(run)
    first = int(read.population.step[0])
    times = []
    for pair in range(pairs):
        own = {False: 0.0, True: 0.0}
        for segment in range(segments):  # in turns, each of them first every second time
            for run in both if (pair + segment) % 2 == 0 else both[::-1]:
                own[run is read] += spent(run)
        times.append((own[False], own[True]))
    without, having = np.array(times).T
    ratio = float(having.sum() / without.sum())
    left = (having - ratio * without) / without.mean()
    half = 0.0
    if pairs > 1:
        half = float(stats.t.ppf(0.975, pairs - 1) * left.std(ddof=1) / math.sqrt(pairs))
    instruments, steps = read.instruments, int(read.population.step[0])
    assert isinstance(instruments, Timed)
    assert not instruments.trouble, instruments.trouble
    assert torch.equal(plain.population.state.weights, read.population.state.weights)
    return {
        "net": net, "mode": mode, "members": MEMBERS[mode], "pairs": pairs, "steps": steps,
        "step_ms": round(1000 * float(without.sum()) / (steps - first), 4),
        "ratio": round(ratio, 4),
        "interval": [round(ratio - half, 4), round(ratio + half, 4)],
        "readings_at": [each.step for each in instruments.of(0).readings],
        "readings_share": round(instruments.computed / float(without.sum()), 4),
    }  # fmt: skip


def main() -> None:
    """Measures, and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each side of a pair, about")
    parser.add_argument("--nets", default="mlp,conv,attention")
    parser.add_argument("--modes", default="serial,fused,compiled")
    given = parser.parse_args()
    found = []
    for net in given.nets.split(","):
        for mode in given.modes.split(","):
            found.append(compared(net, mode, given.seconds, given.pairs))
            print(json.dumps(found[-1]), file=sys.stderr)
    print(json.dumps({"share": SHARE, "threads": torch.get_num_threads(), "measured": found,
                      "hardware": hardware("cpu"), "versions": versions()}, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
