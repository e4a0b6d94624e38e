"""What instruments on every training cost: time of a step with and without, in pairs, in turns.

    python benchmarks/instruments.py --pairs 20 > benchmarks/results/instruments.json

A perceptron on census income, a convolutional net and an attention net on digits, each trained one
member after the other (`serial`), many at once (`fused`) and by a compiled step (`compiled`). A pair is
two trainings of the same members from the same weights over the same rows, one with instruments; which
is first alternates. Time is of all that a training does: steps, evaluations, and readings. The ratio is
given as the geometric mean over pairs with its 95% interval (t, on logarithms).
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
from diagnosis_settings import Cnn, Mlp, adult
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

import pawl
from pawl.data import load
from pawl.environment import hardware, versions
from pawl.training.fused import FusedStepper
from pawl.training.instruments import SHARE
from pawl.training.population import Member, Population, Stepper
from pawl.training.problem import Problem
from pawl.training.run import Run
from pawl.training.serial import SerialStepper

MEMBERS = {"serial": 1, "fused": 8, "compiled": 8}
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


def trained(net: str, mode: str, epochs: int, share: float) -> dict[str, float]:
    """Trains members to their end; returns seconds of a step, and what readings took."""
    made = problem(net)
    rows = torch.arange(len(made.targets))
    valid = rows[:200]
    recipe = RECIPE.with_("standardize") if net == "mlp" else RECIPE
    members = [Member(recipe, seed, rows[200:], valid, epochs) for seed in range(MEMBERS[mode])]
    run = Run(Population(made, members, STEPPERS[mode]()), instruments=share)
    started = time.perf_counter()
    while not run.finished():
        run.segment()
    seconds = time.perf_counter() - started
    read = run.instruments
    assert not read.trouble, read.trouble
    return {
        "step": seconds / int(run.population.step[0]),
        "steps": int(run.population.step[0]),
        "readings": len(read.of(0).readings),
        "own": read.reading / max(read.stepping, 1e-12),
    }


def compared(net: str, mode: str, epochs: int, pairs: int) -> dict[str, Any]:
    """Returns the ratio of times with instruments and without."""
    for share in (0.0, SHARE):  # compiled, and warm
        trained(net, mode, max(1, epochs // 10), share)
    ratios, plain, read = [], [], []
    for pair in range(pairs):
        order = (0.0, SHARE) if pair % 2 == 0 else (SHARE, 0.0)
        found = {share: trained(net, mode, epochs, share) for share in order}
        ratios.append(found[SHARE]["step"] / found[0.0]["step"])
        plain.append(found[0.0]["step"])
        read.append(found[SHARE])
    logs = np.log(ratios)
    half = 0.0
    if pairs > 1:
        half = float(stats.t.ppf(0.975, pairs - 1) * logs.std(ddof=1) / math.sqrt(pairs))
    return {
        "net": net, "mode": mode, "members": MEMBERS[mode], "pairs": pairs,
        "steps": read[0]["steps"],
        "step_ms": round(1000 * float(np.median(plain)), 4),
        "ratio": round(math.exp(logs.mean()), 4),
        "interval": [round(math.exp(logs.mean() - half), 4), round(math.exp(logs.mean() + half), 4)],
        "readings": float(np.median([each["readings"] for each in read])),
        "own_share": round(float(np.median([each["own"] for each in read])), 4),
    }  # fmt: skip


def main() -> None:
    """Measures, and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--nets", default="mlp,conv,attention")
    parser.add_argument("--modes", default="serial,fused,compiled")
    given = parser.parse_args()
    found = []
    for net in given.nets.split(","):
        for mode in given.modes.split(","):
            found.append(compared(net, mode, given.epochs, given.pairs))
            print(json.dumps(found[-1]), file=sys.stderr)
    print(json.dumps({"share": SHARE, "threads": torch.get_num_threads(), "measured": found,
                      "hardware": hardware("cpu"), "versions": versions()}, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
