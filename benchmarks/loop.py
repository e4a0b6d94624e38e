"""What pawl's single training costs over a hand-written PyTorch loop, beside Lightning and skorch.

    pip install -e .[bench] -c constraints.txt
    python benchmarks/loop.py --work mlp > benchmarks/results/loop-mlp.json
    python benchmarks/loop.py --work image > benchmarks/results/loop-image.json

Every contestant trains the same model from the same weights on the same rows in the same order:
inputs standardized, AdamW, an evaluation on the validation rows after each epoch, the best weights
kept, early stopping. Contestants take turns; a round is one training by each. Overheads are paired by
round. That all did the same work is checked, epoch by epoch: losses and scores are no further from the
hand-written loop's than a few times what that loop differs by from weights that differ by a rounding.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

RATE, DECAY, PATIENCE = 1e-3, 0.01, 12
EVALUATION_ROWS = 1024
NUDGES, TOLERANCE = 5, 3.0  # rounding grows while a net learns
LEAST = {"loss": 1e-4, "score": 0.005}


@dataclass(frozen=True, eq=False)
class Work:
    """What each contestant is given: `inputs [R, ...]`, `targets [R]`, rows, model and length."""

    name: str
    inputs: Tensor
    targets: Tensor
    train: Tensor
    valid: Tensor
    model: Callable[[], nn.Module]
    own_model: bool
    batch: int
    epochs: int
    seed: int = 1

    @property
    def steps(self) -> int:
        """Steps of an epoch; a last, smaller batch is left out."""
        return len(self.train) // self.batch

    def order(self, epoch: int) -> Tensor:
        """Returns the training rows in the order of an epoch."""
        from pawl.rng import permutation

        return self.train[torch.from_numpy(permutation(self.seed, epoch, len(self.train)))]

    def fresh_model(self) -> nn.Module:
        """Returns the model with the weights that every contestant starts from."""
        torch.manual_seed(self.seed)
        return self.model()

    def standardized(self) -> Tensor:
        """Returns all inputs, zero mean and unit variance over the training rows."""
        x = self.inputs.float()
        axes = (0, 2, 3) if x.dim() == 4 else (0,)
        chosen = x[self.train]
        return (x - chosen.mean(axes, keepdim=True)) / chosen.std(axes, keepdim=True, correction=0)


@dataclass(frozen=True)
class Trained:
    """A training's mean losses and validation accuracies, epoch by epoch."""

    losses: list[float]
    scores: list[float]


Contestant = Callable[[Work], Trained]


def mlp() -> Work:
    """Returns a table's work: 16,000 rows of 30 numbers, a 30-64-64-10 perceptron."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(16_000, 30, generator=generator)
    logits = torch.tanh(inputs @ torch.randn(30, 32, generator=generator) / 4)
    logits = logits @ torch.randn(32, 10, generator=generator)
    targets = (logits + torch.randn(logits.shape, generator=generator)).argmax(1)
    rows = torch.arange(16_000)

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
        )

    return Work(
        "mlp", inputs, targets, rows[:12_800], rows[12_800:], model, True, batch=128, epochs=10
    )


def image() -> Work:
    """Returns an image's work: 3,840 images of 3x32x32 bytes, the convolutional net pawl builds."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 10, (3_840,), generator=generator)
    faces = torch.randn(10, 3, 32, 32, generator=generator)
    noise = torch.randn(3_840, 3, 32, 32, generator=generator)
    inputs = (128 + 20 * faces[targets] + 60 * noise).clamp(0, 255).to(torch.uint8)
    rows = torch.arange(3_840)

    def model() -> nn.Module:
        layers: list[nn.Module] = []
        for come, leave, stride in (
            (3, 16, 1), (16, 16, 2), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)
        ):  # fmt: skip
            layers += [nn.Conv2d(come, leave, 3, stride=stride, padding=1), nn.ReLU()]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 10))

    return Work(
        "image", inputs, targets, rows[:3_200], rows[3_200:], model, False, batch=128, epochs=2
    )


def hand_written(work: Work, *, fused: bool = False) -> Trained:
    """Trains as someone writes it who knows PyTorch: rows resident, a batch is an index."""
    x, y = work.standardized(), work.targets
    model = work.fresh_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, fused=fused)
    losses: list[float] = []
    scores: list[float] = []
    best, kept, stale = -1.0, model.state_dict(), 0
    for epoch in range(work.epochs):
        order = work.order(epoch)
        total = torch.zeros(())
        model.train()
        for k in range(work.steps):
            rows = order[k * work.batch : (k + 1) * work.batch]
            loss = F.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        model.eval()
        with torch.no_grad():
            chunks = torch.split(work.valid, EVALUATION_ROWS)
            predicted = torch.cat([model(x[rows]).softmax(1) for rows in chunks])
            score = float((predicted.argmax(1) == y[work.valid]).double().mean())
        losses.append(float(total) / work.steps)
        scores.append(score)
        stale += 1
        if score > best:
            best, kept, stale = score, copy.deepcopy(model.state_dict()), 0
        if stale >= PATIENCE:
            break
    model.load_state_dict(kept)
    return Trained(losses, scores)


def fused_optimizer(work: Work) -> Trained:
    """The same with PyTorch's fused AdamW, which has to be asked for."""
    return hand_written(work, fused=True)


def pawl(work: Work) -> Trained:
    """Trains pawl's baseline recipe, one member, the serial stepper, with the threads of the others."""
    from pawl.data import load
    from pawl.execution import Job, Plan, TrainingWay, train_all
    from pawl.search import baseline
    from pawl.task import Task
    from pawl.training.population import Member
    from pawl.training.problem import Problem

    global _problem  # noqa: PLW0603
    if _problem is None or _problem[0] != work.name:
        # Reading data is no part of a training: the other contestants find theirs read, too.
        test = (work.inputs[:20], work.targets[:20].numpy())
        task = Task(
            data=(work.inputs, work.targets.numpy()), test=test, metric="accuracy",
            model=work.model if work.own_model else None,
        )  # fmt: skip
        _problem = (work.name, Problem.of(task, load(task)))
    problem = _problem[1]
    problem._fits.clear()
    recipe = baseline(problem.facts()).with_("batch_size", size=work.batch)
    member = Member(recipe, work.seed, work.train, work.valid, work.epochs)
    way = TrainingWay("serial", 1, threads=torch.get_num_threads())
    (result,) = train_all(problem, [Job(member, keep=True)], lambda _: Plan(way, "measured"))
    curve = result.outcome.curve
    return Trained([p.train_loss for p in curve], [p.valid_score for p in curve])


_problem: tuple[str, object] | None = None


def contestants(*, rivals: bool) -> dict[str, Contestant]:
    """Returns the contestants by name, in the order in which they take turns."""
    found: dict[str, Contestant] = {
        "hand-written": hand_written,
        "hand-written, fused AdamW": fused_optimizer,
        "pawl": pawl,
    }
    if rivals:
        try:
            import loop_rivals
        except ModuleNotFoundError as error:
            sys.exit(
                f"{error.name} is not installed; run pip install -e .[bench] -c constraints.txt, "
                "or give --without-rivals"
            )
        found |= loop_rivals.CONTESTANTS
    return found


def differences(reference: Trained, other: Trained) -> dict[str, float]:
    """Returns the largest difference in loss (relative) and in score between two trainings."""
    if len(reference.losses) != len(other.losses):
        return {"loss": float("inf"), "score": float("inf")}
    pairs = zip(reference.losses, other.losses, strict=True)
    scores = zip(reference.scores, other.scores, strict=True)
    return {
        "loss": max(abs(a - b) / abs(a) for a, b in pairs),
        "score": max(abs(a - b) for a, b in scores),
    }


def nudged(work: Work, reference: Trained) -> dict[str, float]:
    """Returns the largest difference to `reference`, the hand-written loop's, by first roundings."""
    largest = dict(LEAST)
    for seed in range(NUDGES):
        generator = torch.Generator().manual_seed(seed)

        def model(generator: torch.Generator = generator) -> nn.Module:
            made = work.model()
            with torch.no_grad():
                for weights in made.parameters():
                    noise = torch.randn(weights.shape, generator=generator)
                    weights.mul_(1.0 + 2.0**-24 * noise)
            return made

        found = differences(reference, hand_written(dataclasses.replace(work, model=model)))
        largest = {name: max(largest[name], found[name]) for name in largest}
    return largest


def spread(values: list[float], digits: int) -> dict[str, float]:
    """Returns median and quartiles."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return {
        "median": round(float(middle), digits),
        "quartiles": [round(float(low), digits), round(float(high), digits)],
    }


def overhead(mine: list[float], base: list[float]) -> dict[str, object]:
    """Returns the overhead in percent: median over rounds, and its 95% bootstrap interval."""
    ratios = 100.0 * (np.array(mine) / np.array(base) - 1.0)
    draws = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return {
        **spread(list(ratios), 2),
        "interval_95": [round(float(low), 2), round(float(high), 2)],
    }


def measure(work: Work, players: dict[str, Contestant], rounds: int) -> dict[str, object]:
    """Lets the contestants take turns; returns times, overheads and how far results differ."""
    wall: dict[str, list[float]] = {name: [] for name in players}
    processor: dict[str, list[float]] = {name: [] for name in players}
    trained = {name: player(work) for name, player in players.items()}  # and warm up
    for _ in range(rounds):
        for name, player in players.items():
            started, used = time.perf_counter(), time.process_time()
            player(work)
            wall[name].append(time.perf_counter() - started)
            processor[name].append(time.process_time() - used)
    reference = trained["hand-written"]
    steps = work.steps * len(reference.losses)
    same = {name: differences(reference, one) for name, one in trained.items()}
    rounding = nudged(work, reference)
    wrong = [
        name
        for name, gap in same.items()
        if any(gap[what] > TOLERANCE * rounding[what] for what in rounding)
    ]
    if wrong:
        sys.exit(f"{work.name}: {', '.join(wrong)} did not do the same work: {same}")
    return {
        "rows": len(work.train),
        "batch": work.batch,
        "steps": steps,
        "evaluations": len(reference.losses),
        "n": rounds,
        "score": reference.scores[-1],
        "difference_by_rounding": rounding,
        "contestants": {
            name: {
                "milliseconds_per_step": spread([1e3 * s / steps for s in wall[name]], 4),
                "steps_per_second": round(steps / float(np.median(wall[name])), 1),
                "overhead_percent": overhead(wall[name], wall["hand-written"]),
                "overhead_percent_of_processor_time": overhead(
                    processor[name], processor["hand-written"]
                ),
                "largest_difference": same[name],
            }
            for name in players
        },
    }


def main() -> None:
    """Measures and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--work", choices=["mlp", "image"], action="append")
    parser.add_argument("--threads", type=int, help="of torch; its default otherwise")
    parser.add_argument("--without-rivals", action="store_true", help="no Lightning, no skorch")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error(f"got --rounds {given.rounds}; give 1 or more (7 or more for a claim)")
    if given.threads:
        torch.set_num_threads(given.threads)
    from pawl.environment import hardware, versions

    players = contestants(rivals=not given.without_rivals)
    works = {"mlp": mlp, "image": image}
    result = {
        "what": "one training: overhead over a hand-written loop that does the same work",
        "wanted": "pawl: at most 2% on images, no slower on a small perceptron",
        "works": {
            name: measure(works[name](), players, given.rounds) for name in given.work or works
        },
        "hardware": hardware(),
        "versions": versions(),
    }
    if not given.without_rivals:
        import loop_rivals

        result["versions"] = {**versions(), **loop_rivals.versions()}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
