"""Samplers: replayed from seed and history, and one structure for all members of a generation."""

from __future__ import annotations

import json

import numpy as np
import pytest
from problems import problem

from pawl.recipe import Recipe
from pawl.search import Space, baseline
from pawl.search.sampler import Sampler, SamplerName, TrialResult
from pawl.search.space import Params

SAMPLERS: tuple[SamplerName, ...] = ("tpe", "random")


@pytest.fixture(scope="module")
def space() -> Space:
    facts = problem("table").facts()
    return Space(baseline(facts), facts)


def told(space: Space, count: int) -> list[TrialResult]:
    """Trials that ended in every way a trial may end."""
    source = Sampler(space, "random", 5, 0, [])
    generator = np.random.default_rng(5)
    points = [source.ask_members(source.ask_structure(), 1)[0] for _ in range(count)]
    ends = [(0.9, None), (0.5, 2), (None, None), (None, 1), (0.7, None), (0.2, 0)]
    found = []
    for index, point in enumerate(points):
        score, rung = ends[index % len(ends)]
        shifted = None if score is None else score + 0.01 * generator.normal()
        found.append(TrialResult(point, shifted, rung))
    return found


def asks(sampler: Sampler) -> list[Params]:
    structure = sampler.ask_structure()
    return [structure, *sampler.ask_members(structure, 3), sampler.ask_structure()]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("count", [0, 5, 40])
def test_the_same_seed_and_history_ask_the_same(
    space: Space, name: SamplerName, count: int
) -> None:
    history = told(space, count)
    first = asks(Sampler(space, name, 1, 4, history))
    assert asks(Sampler(space, name, 1, 4, history)) == first
    assert asks(Sampler(space, name, 1, 5, history)) != first
    assert asks(Sampler(space, name, 2, 4, history)) != first


@pytest.mark.parametrize("name", SAMPLERS)
def test_members_share_the_structure_and_differ_in_what_is_memberwise(
    space: Space, name: SamplerName
) -> None:
    sampler = Sampler(space, name, 1, 0, told(space, 24))
    structure = sampler.ask_structure()
    assert set(structure) == space.structural
    members = sampler.ask_members(structure, 6)
    assert len(members) == 6
    recipes: list[Recipe] = []
    for point in members:
        assert set(point) == set(space.distributions)
        assert space.structure(point) == structure
        recipes.append(space.recipe(point))
    assert len({recipe.structure for recipe in recipes}) == 1
    assert len({recipe.id for recipe in recipes}) == 6


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_generation_does_not_repeat_itself(space: Space, name: SamplerName) -> None:
    sampler = Sampler(space, name, 1, 0, told(space, 24))
    structure = sampler.ask_structure()
    first, second = sampler.ask_members(structure, 4), sampler.ask_members(structure, 4)
    assert len({space.recipe(point).id for point in first + second}) == 8


def test_points_of_the_ledger_are_taken_after_json(space: Space) -> None:
    points = [json.loads(json.dumps(space.params(space.baseline)))]
    sampler = Sampler(space, "tpe", 1, 0, [TrialResult(point, 0.5, None) for point in points])
    assert sampler.study.trials[0].params == points[0]


def test_tpe_learns_from_what_it_is_told(space: Space) -> None:
    """Where one optimizer always scores high and the others low, it is asked for more often."""
    source = Sampler(space, "random", 7, 0, [])
    history = []
    for _ in range(60):
        point = source.ask_members(source.ask_structure(), 1)[0]
        history.append(
            TrialResult(point, 1.0 if point["choose:optimizer"] == "rmsprop" else 0.0, None)
        )
    sampler = Sampler(space, "tpe", 7, 1, history)
    chosen = [sampler.ask_structure()["choose:optimizer"] for _ in range(30)]
    assert chosen.count("rmsprop") > 10
