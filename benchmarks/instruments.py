"""What instruments on every training cost: time of a step with and without, in pairs, in turns.

    python benchmarks/instruments.py --records runs/instruments.jsonl \\
        --out benchmarks/results/instruments.json

A perceptron on census income, a convolutional net and an attention net on digits, each trained one
member after the other (`serial`), some at once (`fused`) and by a compiled step (`compiled`). Two
trainings of the same members, one with instruments, take turns; a pair is a segment of each: the steps
of an epoch and an evaluation. Which is first alternates, and both must end with the same weights, bit
for bit. Time is what this process computed (CPU time, so that others on the machine count less).

`of_readings` is the time in readings, the first one included, over that of the training without.
`of_steps` is how much longer a segment takes that is not in readings: the median over pairs, as some
are held up by others on the machine, with its 95% interval from the binomial distribution. `ratio` is
the sum of both, of which the interval is.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import running
import torch
from diagnosis_settings import Cnn, Mlp, adult
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

import pawl
from pawl.data import load
from pawl.environment import hardware, versions
from pawl.errors import TrialError
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


def spent(run: Run) -> tuple[float, float]:
    """Takes a segment of a training; returns seconds computed for it, and for readings in it."""
    assert isinstance(run.instruments, Timed)
    read, started = run.instruments.computed, time.process_time()
    run.segment()
    return time.process_time() - started, run.instruments.computed - read


def compared(net: str, mode: str, seconds: float, pairs: int) -> dict[str, Any]:
    """Returns the ratio of times with instruments and without."""
    tried = fresh(net, mode, 0.0)
    try:
        spent(tried)  # compiled, and warm
    except TrialError as error:
        return {"net": net, "mode": mode, "refused": str(error)}
    both = plain, read = fresh(net, mode, 0.0), fresh(net, mode, SHARE)
    for run in both:
        spent(run)
    first, enough = int(read.population.step[0]), seconds / spent(tried)[0]
    times = []
    while len(times) < max(pairs, enough):
        own = {}
        for run in both if len(times) % 2 == 0 else both[::-1]:
            own[run is read] = spent(run)
        times.append((own[False][0], own[True][0] - own[True][1], own[True][1]))
    without, having, readings = np.array(times).T
    steps, low, high = median(having / without)
    share = float(readings.sum() / without.sum())
    assert not read.instruments.trouble, read.instruments.trouble
    assert torch.equal(plain.population.state.weights, read.population.state.weights)
    taken = int(read.population.step[0])
    return {
        "net": net, "mode": mode, "members": MEMBERS[mode], "pairs": len(times), "steps": taken,
        "step_ms": round(1000 * float(without.sum()) / (taken - first), 4),
        "ratio": round(steps + share, 4),
        "interval": [round(low + share, 4), round(high + share, 4)],
        "of_steps": round(steps, 4), "of_readings": round(share, 4),
        "readings_at": [each.step for each in read.instruments.of(0).readings],
    }  # fmt: skip


def median(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Returns the median and its 95% interval, which assumes nothing of how values are spread."""
    ordered, count = np.sort(values), len(values)
    place = max(1, int(stats.binom.ppf(0.025, count, 0.5)))
    return float(np.median(values)), float(ordered[place - 1]), float(ordered[count - place])


def main() -> None:
    """Measures what is missing, and writes the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20, help="at least")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each side, at least")
    parser.add_argument("--nets", default="mlp,conv,attention")
    parser.add_argument("--modes", default="serial,fused,compiled")
    parser.add_argument("--records", type=Path, help="what a stopped run goes on from")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for mode in given.modes.split(","):
        for net in given.nets.split(","):
            work = functools.partial(compared, net, mode, given.seconds, given.pairs)
            key = (net, mode, given.seconds, given.pairs, SHARE)
            record = running.computed(given.records, key, work)
            found.append({name: value for name, value in record.items() if name != "key"})
            print(json.dumps(found[-1]), flush=True)
    if given.out:
        kept = {
            "share": SHARE, "threads": torch.get_num_threads(), "measured": found,
            "hardware": hardware("cpu"), "versions": versions(),
        }  # fmt: skip
        given.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
