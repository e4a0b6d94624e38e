"""Samplers: replayed from seed and history, and one structure for all members of a generation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from problems import frame, problem

import pawl
from pawl.errors import TaskError
from pawl.recipe import Recipe
from pawl.search import Space, baseline
from pawl.search.protocols import Params
from pawl.search.samplers import (
    OptunaSampler,
    Sampler,
    Searchable,
    TrialResult,
    make_sampler,
    register_sampler,
    unregister_sampler,
)

SAMPLERS = ("cma-es", "edits", "genetic", "gp", "random", "tpe", "of_ones_own")
"""Those that draw; a grid is another matter."""


class OfOnesOwn:
    """Draws each parameter by itself, with nothing of Optuna's but the ranges."""

    def __init__(self, space: Searchable, seed: int, history: Sequence[TrialResult]) -> None:
        self.space = space
        self.random = np.random.default_rng([seed, len(history)])

    def ask(self) -> Params:
        return self.drawn()

    def members(self, point: Params, count: int) -> list[Params]:
        return [self.drawn() | self.space.structure(point) for _ in range(count)]

    def drawn(self) -> Params:
        found: Params = {}
        for name, known in self.space.distributions.items():
            if isinstance(known, CategoricalDistribution):
                found[name] = known.choices[self.random.integers(len(known.choices))]
            elif isinstance(known, IntDistribution):
                found[name] = int(self.random.integers(known.low, known.high + 1))
            else:
                assert isinstance(known, FloatDistribution)
                found[name] = float(self.random.uniform(known.low, known.high))
        return found


@pytest.fixture(autouse=True)
def _own() -> Iterator[None]:
    register_sampler("of_ones_own", OfOnesOwn)
    yield
    unregister_sampler("of_ones_own")


@pytest.fixture(scope="module")
def space() -> Space:
    facts = problem("table").facts()
    return Space(baseline(facts), facts)


def told(space: Space, count: int) -> list[TrialResult]:
    """Trials that ended in every way a trial may end."""
    source = make_sampler("random", space, 5, 0, [])
    generator = np.random.default_rng(5)
    points = [source.ask() for _ in range(count)]
    ends = [(0.9, None), (0.5, 2), (None, None), (None, 1), (0.7, None), (0.2, 0)]
    found = []
    for index, point in enumerate(points):
        score, rung = ends[index % len(ends)]
        shifted = None if score is None else score + 0.01 * generator.normal()
        found.append(TrialResult(point, shifted, rung))
    return found


def asks(sampler: Sampler) -> list[Params]:
    point = sampler.ask()
    return [point, *sampler.members(point, 3), sampler.ask()]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("count", [0, 5, 40])
def test_the_same_seed_and_history_ask_the_same(space: Space, name: str, count: int) -> None:
    history = told(space, count)
    first = asks(make_sampler(name, space, 1, 4, history))
    assert asks(make_sampler(name, space, 1, 4, history)) == first
    assert asks(make_sampler(name, space, 1, 5, history)) != first
    assert asks(make_sampler(name, space, 2, 4, history)) != first


@pytest.mark.parametrize("name", SAMPLERS)
def test_members_share_the_structure_and_differ_in_what_is_memberwise(
    space: Space, name: str
) -> None:
    sampler = make_sampler(name, space, 1, 0, told(space, 24))
    first = sampler.ask()
    members = list(sampler.members(first, 6))
    assert len(members) == 6
    recipes: list[Recipe] = []
    for point in [first, *members]:
        assert set(point) == set(space.distributions)
        for key, known in space.distributions.items():
            assert known._contains(known.to_internal_repr(point[key]))
        assert space.structure(point) == space.structure(first)
        recipes.append(space.recipe(point))
    assert len({recipe.structure for recipe in recipes}) == 1
    assert len({recipe.id for recipe in recipes}) == 7


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_generation_does_not_repeat_itself(space: Space, name: str) -> None:
    sampler = make_sampler(name, space, 1, 0, told(space, 24))
    first = sampler.ask()
    members = [*sampler.members(first, 4), *sampler.members(first, 4)]
    assert len({space.recipe(point).id for point in members}) == 8


def test_points_of_the_ledger_are_taken_after_json(space: Space) -> None:
    points = [json.loads(json.dumps(space.params(space.baseline)))]
    sampler = make_sampler("tpe", space, 1, 0, [TrialResult(point, 0.5, None) for point in points])
    assert isinstance(sampler, OptunaSampler)
    assert sampler.study.trials[0].params == points[0]


def test_tpe_learns_from_what_it_is_told() -> None:
    """Where one optimizer always scores high and the others low, it is asked for more often."""
    facts = problem("table").facts()
    space = Space(baseline(facts), facts, ("rmsprop", "sgd", "momentum", "dropout"))
    source = make_sampler("random", space, 7, 0, [])
    history = []
    for _ in range(60):
        point = source.ask()
        history.append(
            TrialResult(point, 1.0 if point["choose:optimizer"] == "rmsprop" else 0.0, None)
        )
    sampler = make_sampler("tpe", space, 7, 1, history)
    chosen = [sampler.ask()["choose:optimizer"] for _ in range(30)]
    assert chosen.count("rmsprop") > 10


def test_a_campaign_takes_a_sampler_of_ones_own(tmp_path: Path) -> None:
    """And goes on with it where it was: what it proposes is a matter of seed and history."""
    asked: list[int] = []

    class Noted(OfOnesOwn):
        def members(self, point: Params, count: int) -> list[Params]:
            asked.append(count)
            return super().members(point, count)

    register_sampler("noted", Noted)
    try:
        result = pawl.optimize(
            frame(), target="target", trials=40, epochs=1, search="noted,none", out=tmp_path / "out",
            executor="inline", families=["nets"],
        )  # fmt: skip
    finally:
        unregister_sampler("noted")
    assert asked
    assert "search='noted,none'" in result.summary.command
    with pytest.raises(TaskError, match="unknown search 'noted'"):
        pawl.optimize("digits", trials=4, search="noted", out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


class Raises(OfOnesOwn):
    def members(self, point: Params, count: int) -> list[Params]:
        raise ValueError("no idea")


class TooFew(OfOnesOwn):
    def members(self, point: Params, count: int) -> list[Params]:
        return super().members(point, count - 1)


class Outside(OfOnesOwn):
    def drawn(self) -> Params:
        return super().drawn() | {"adamw.learning_rate": 1e9}


class Unnamed(OfOnesOwn):
    def drawn(self) -> Params:
        return super().drawn() | {"something": 1}


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Raises, "the sampler 'wrong' raised ValueError: no idea"),
        (TooFew, "the sampler 'wrong' proposed 2 points where 3 were asked for"),
        (Outside, r"proposed adamw.learning_rate=1000000000.0; allowed is FloatDistribution"),
        (Unnamed, r"'something'.*it must propose values for"),
    ],
)
def test_what_a_sampler_does_wrong_is_one_line(
    space: Space, made: Callable[..., Any], message: str
) -> None:
    register_sampler("wrong", made)
    try:
        sampler = make_sampler("wrong", space, 0, 0, [])
        with pytest.raises(TaskError, match=message) as caught:
            list(sampler.members(space.params(space.baseline), 3))
        assert "\n" not in str(caught.value)
    finally:
        unregister_sampler("wrong")
    with pytest.raises(TaskError, match=r"unknown sampler 'tep' \(did you mean"):
        make_sampler("tep", space, 0, 0, [])
    with pytest.raises(TaskError, match="exists already"):
        register_sampler("tpe", made)
