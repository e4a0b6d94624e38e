"""No pair of techniques stops a training from learning without saying so.

Pairs of one family, and a sample of the others, train for real: the loss of the rows that train gets
lower, rates are above zero, and weights move.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from problems import member, plain, problem
from techniques.table import ROWS
from techniques.test_conformance import STEPPED, meeting
from torch import Tensor

from pawl.recipe import Recipe
from pawl.techniques import (
    ScheduleTechnique,
    Technique,
    excludes,
    register,
    unregister,
)
from pawl.techniques import technique as named
from pawl.training.fused import FusedStepper
from pawl.training.population import Population

Pair = tuple[Technique, Technique]
EPOCHS, LONGER = 16, 64
SAMPLE, ACROSS = 30, 400


@functools.cache
def pairs_of(*, family: bool) -> list[Pair]:
    """Returns the pairs that may be combined, of one family or of two."""
    every = itertools.combinations(STEPPED, 2)
    wanted = (p for p in every if (p[0].family == p[1].family) == family and not excludes(*p))
    return [pair for pair in wanted if meeting(*pair)]


def recipe_of(names: Sequence[str]) -> Recipe:
    """The plain recipe with techniques at the first settings of their rows."""
    tables: dict[str, Any] = plain().to_dict()
    for group in {named(name).group for name in names} - {None}:
        tables = {n: own for n, own in tables.items() if named(n).group != group}
    return Recipe.from_dict(tables | {n: ROWS[n].settings[0] if n in ROWS else {} for n in names})


def loss_of(population: Population) -> float:
    """Returns the task's own loss on rows that train, before any technique."""
    one = population.problem
    rows = population.members[0].train
    predicted = population.predict(one.examples, rows)[0]
    targets = one.targets[rows]
    if targets.is_floating_point():
        return float(((predicted - targets) ** 2).mean())
    picked = predicted.clamp_min(1e-6).log().gather(1, targets.long().unsqueeze(1))
    return -float(picked.mean())


def check_learns(names: Sequence[str], kind: str) -> None:
    """Trains a recipe and holds that it learned something.

    Running statistics of batches lag behind in so short a training; where the loss of evaluation says
    no, a longer one decides, in which they have time to follow.
    """
    before, after = losses_of(names, kind, EPOCHS)
    if not after < before:
        before, after = losses_of(names, kind, LONGER)
    assert after < before, f"{names}: {before:.4f} at first, {after:.4f} at the end"


def losses_of(names: Sequence[str], kind: str, epochs: int) -> tuple[float, float]:
    """Trains a recipe; returns the loss at first and at the end."""
    one = member(recipe_of(names), seed=1, epochs=epochs)
    population = Population(problem(kind), [one], FusedStepper())
    total = int(population.total)
    steps = torch.arange(float(total)).unsqueeze(1)
    rates = population.program.rates(population.values, steps, torch.tensor([float(total)]))
    assert (rates > 0).float().mean() > 0.75, f"{names}: the rate is zero"
    first, before = population.state.weights.clone(), loss_of(population)
    population.advance(total)
    last = population.evaluated()[0]
    assert last.isfinite().all(), f"{names}: it diverged"
    moved = (last - first).norm() / first.norm()
    assert moved > 1e-4, f"{names}: weights stay where they are"
    return before, loss_of(population)


def check_all(pairs: Sequence[Pair]) -> None:
    """Tries all pairs, and names all that fail."""
    failed = []
    for first, second in pairs:
        kind = meeting(first, second)
        assert kind is not None
        try:
            check_learns((first.name, second.name), kind)
        except AssertionError as error:
            failed.append(str(error).splitlines()[0])
    assert not failed, "\n".join([f"{len(failed)} of {len(pairs)}", *failed])


@pytest.mark.parametrize("family", [True, False])
def test_a_sample_of_pairs_learns(family: bool) -> None:
    check_all(random.Random(0).sample(pairs_of(family=family), SAMPLE))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_pairs_of_a_family_and_many_across_learn() -> None:
    check_all([*pairs_of(family=True), *random.Random(1).sample(pairs_of(family=False), ACROSS)])


def never(step: Tensor, total: Tensor, settings: Any) -> Tensor:
    """Leaves the rate at nothing."""
    del total, settings
    return torch.zeros_like(step)


NEVER = ScheduleTechnique(
    name="never",
    summary="Learn nothing.",
    reference="a training that warmed up for ever",
    apply=never,
)


def test_what_does_not_learn_is_caught() -> None:
    register(NEVER)
    try:
        with pytest.raises(AssertionError, match="the rate is zero"):
            check_learns(("never", "sharpness_aware"), "table")
    finally:
        unregister(NEVER.name)
