"""Whatever is combined learns: no pair leaves the loss, the rate or the weights where they were.

Pairs within a family, and some across; a sample by a hash of their names, all of them when slow.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

import pytest
import torch
from problems import member, plain, problem
from techniques.rules import LAYOUT, SIZE, context_of, settings_of
from techniques.test_conformance import STEPPED, meeting, row_of
from torch import Tensor

from pawl.recipe import Recipe
from pawl.techniques import (
    Technique,
    UpdateTechnique,
    excludes,
    technique,
    techniques,
)
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.serial import SerialStepper

EPOCHS = 24
UPDATES = [t for t in techniques() if isinstance(t, UpdateTechnique)]


def chance(*names: str) -> float:
    """Returns a number from [0, 1) that names decide."""
    return int(hashlib.sha256(" ".join(names).encode()).hexdigest()[:8], 16) / 2**32


def pairs(within: float, across: float) -> Iterator[tuple[str, str]]:
    """Yields pairs that go together, of each sort about such a share."""
    for first, second in itertools.combinations(STEPPED, 2):
        share = within if first.family == second.family else across
        if chance(first.name, second.name) < share and not excludes(first, second):
            yield first.name, second.name


def recipe_of(*names: str) -> Recipe:
    tables = plain().to_dict()
    groups = {technique(name).group for name in names} - {None}
    tables = {n: own for n, own in tables.items() if technique(n).group not in groups}
    excluded = [n for n in tables if any(excludes(technique(n), technique(m)) for m in names)]
    tables = {n: own for n, own in tables.items() if n not in excluded}
    return Recipe.from_dict(tables | {n: row_of(n).settings[1] for n in names})


def training_loss(population: Population) -> float:
    """Returns the plain loss of the training rows, by what an evaluation uses."""
    one, task = population.members[0], population.problem
    predicted = population.predict(task.examples, one.train)[0]
    targets = task.targets[one.train]
    if targets.is_floating_point() and not task.schema.kind.startswith("multilabel"):
        return float(((predicted - targets) / targets.std(0)).square().mean())
    likely = predicted.clamp_min(1e-7)
    if targets.is_floating_point():
        return float(torch.nn.functional.binary_cross_entropy(likely.clamp_max(1 - 1e-7), targets))
    return float(-likely.gather(-1, targets.unsqueeze(-1)).log().mean())


def check_learns(names: tuple[str, ...], kind: str) -> None:
    population = Population(
        problem(kind), [member(recipe_of(*names), 3, epochs=EPOCHS)], FusedStepper()
    )
    before, weights = training_loss(population), population.state.weights.clone()
    total = int(population.total)
    steps = torch.arange(total).unsqueeze(1).float()
    rates = population.program.rates(population.values, steps, population.total.float())
    assert rates.isfinite().all()
    assert float(rates.mean()) > 0.05 * float(rates.max()) > 0
    for _ in range(total // 4):
        population.advance(4)
    moved = population.state.weights != weights
    # Of texts, what no row has has no gradient.
    assert float(moved.float().mean()) > 0.25, f"{names}: {float(moved.float().mean()):.2f} moved"
    after = training_loss(population)
    assert after < before, f"{names} on {kind}: {before:.4f} to {after:.4f}"


def learning(found: Iterator[tuple[str, str]]) -> int:
    count = 0
    for names in found:
        each: list[Technique] = [technique(name) for name in names]
        if (kind := meeting(*each)) is not None:
            check_learns(names, kind)
            count += 1
    return count


def test_a_sample_of_pairs_learns() -> None:
    assert learning(pairs(within=0.01, across=0.0015)) > 6


@pytest.mark.slow
def test_all_pairs_of_a_family_learn() -> None:
    assert learning(pairs(within=1.0, across=0.03)) > 400


def quadratic(w: Tensor) -> Tensor:
    """A bowl ten times as steep one way as another, with its least value at 1."""
    steep = torch.linspace(0.1, 1.0, w.shape[1])
    return (steep * (w - 1.0).square()).sum(1)


def rosenbrock(w: Tensor) -> Tensor:
    """Rosenbrock's valley over pairs of weights, a tenth as steep."""
    a, b = w[:, ::2], w[:, 1::2]
    return 0.1 * ((1.0 - a).square() + 10.0 * (b - a.square()).square()).sum(1)


FUNCTIONS = {"quadratic": quadratic, "rosenbrock": rosenbrock}


def gradient_of(name: str, w: Tensor) -> Tensor:
    leaf = w.clone().requires_grad_()
    (found,) = torch.autograd.grad(FUNCTIONS[name](leaf).sum(), leaf)
    return found


def descended(found: UpdateTechnique, name: str, start: Tensor, steps: int) -> Tensor:
    """Returns where members are after steps along the function's own gradients, at default settings."""
    settings = settings_of([found.settings().model_dump()] * len(start))
    weights = start.clone()
    state = found.init(weights, LAYOUT)
    for step in range(1, steps + 1):
        context = context_of(float(step), settings.learning_rate)
        now = torch.full((1, len(weights)), float(step))
        if found.coefficients:
            more = found.coefficients(settings.learning_rate.unsqueeze(0), now, settings)
            vars(settings).update({key: value[0] for key, value in more.items()})
        found.apply(weights, gradient_of(name, weights), state, context, settings)
    return weights


def start_of() -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return 0.4 * torch.randn(2, SIZE, generator=generator) - 0.3


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("found", UPDATES, ids=lambda t: t.name)
def test_every_optimizer_lowers_a_bowl_and_a_bent_valley(found: UpdateTechnique, name: str) -> None:
    start = start_of()
    end = descended(found, name, start, 300)
    assert end.isfinite().all()
    assert (FUNCTIONS[name](end) < 0.95 * FUNCTIONS[name](start)).all()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("found", [t for t in UPDATES if t.optimizer], ids=lambda t: t.name)
def test_those_that_pytorch_has_agree_over_a_hundred_steps(
    found: UpdateTechnique, name: str
) -> None:
    start = start_of()
    mine = descended(found, name, start, 100)
    for own, first in zip(mine, start, strict=True):
        leaf = torch.nn.Parameter(first.clone())
        assert found.optimizer is not None
        optimizer = found.optimizer([leaf], found.settings())
        for _ in range(100):
            leaf.grad = gradient_of(name, leaf.detach().unsqueeze(0))[0]
            optimizer.step()
        torch.testing.assert_close(own, leaf.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("found", UPDATES, ids=lambda t: t.name)
def test_fused_and_serial_agree_over_a_hundred_steps(found: UpdateTechnique) -> None:
    members = [member(recipe_of(found.name), seed, epochs=40) for seed in (1, 2)]
    both = [
        Population(problem(row_of(found.name).accepts), members, stepper)
        for stepper in (FusedStepper(), SerialStepper())
    ]
    losses = [population.advance(100) for population in both]
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-3)
