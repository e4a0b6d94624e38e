"""Search methods on functions of known answer: who finds an optimum, what a grid covers, what
matters."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from problems import frame, problem

import pawl
from pawl.errors import PawlError, TaskError
from pawl.functions.space import FunctionSpace
from pawl.search import Space, Strategy, baseline, check_strategy
from pawl.search.cube import Cube, best_first, values_of
from pawl.search.grid import GridSampler, coarse, points, size
from pawl.search.importance import importances
from pawl.search.protocols import Params, Searchable, TrialResult
from pawl.search.samplers import make_sampler
from pawl.task import FunctionTask

Score = Callable[[Params], float]


def bowl(dimensions: int) -> FunctionSpace:
    """Numbers, every second one on a log scale."""
    ranges: dict[str, Any] = {
        f"x{i}": (1e-4, 1.0, "log") if i % 2 else (-2.0, 3.0) for i in range(dimensions)
    }
    return FunctionSpace(FunctionTask(train=print, settings=ranges, direction="minimize"))


def quadratic(space: FunctionSpace, seed: int) -> Score:
    """Greatest, zero, at a random place of the middle of the space."""
    cube = Cube(space.distributions)
    best = np.random.default_rng(seed).uniform(0.15, 0.85, len(cube))
    return lambda params: -float(((cube.encode(params) - best) ** 2).sum())


def found(
    name: str, space: Searchable, score: Score, seed: int, generations: int, width: int
) -> float:
    """Returns the best score of a search of a space without structure."""
    history: list[TrialResult] = []
    for generation in range(generations):
        sampler = make_sampler(name, space, seed, generation, history)
        history += [TrialResult(p, score(p), None) for p in list(sampler.members({}, width))]
    return max(each.score or -math.inf for each in history)


@pytest.mark.parametrize(
    ("name", "dimensions", "generations", "width", "seeds"),
    [("cma-es", 4, 12, 8, 5), ("genetic", 4, 12, 8, 5), ("tpe", 4, 8, 8, 2), ("gp", 2, 5, 4, 2)],
)
def test_a_quadratic_is_solved_better_than_by_chance(
    name: str, dimensions: int, generations: int, width: int, seeds: int
) -> None:
    """In each of the seeds, with as many trials; on average the distance is less than a third."""
    space = bowl(dimensions)
    mine, chance = [], []
    for seed in range(seeds):
        score = quadratic(space, seed)
        mine.append(found(name, space, score, seed, generations, width))
        chance.append(found("random", space, score, seed, generations, width))
    assert all(a > b for a, b in zip(mine, chance, strict=True))
    assert np.mean(np.sqrt(np.negative(mine))) < np.mean(np.sqrt(np.negative(chance))) / 3


def test_the_genetic_sampler_keeps_techniques_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A technique that one parent has comes with that parent's settings; here nothing mutates."""
    monkeypatch.setattr("pawl.search.genetic._EDITED", 0.0)
    monkeypatch.setattr("pawl.search.genetic._WIDTH", 0.0)
    facts = problem("table").facts()
    space = Space(baseline(facts), facts, ("dropout", "label_smoothing"))
    one = {**space.start, "use:dropout": True, "dropout.rate": 0.5}
    other = {**space.start, "use:label_smoothing": True, "label_smoothing.amount": 0.3}
    history = [TrialResult((one, other)[i % 2], 0.5, None) for i in range(4)]
    rates, amounts = [], []
    for seed in range(16):
        sampler = make_sampler("genetic", space, seed, 0, history)
        child = sampler.ask()
        assert child is not None
        members = list(sampler.members(child, 2))
        assert all(space.structure(each) == space.structure(child) for each in members)
        rates += [child["dropout.rate"]] * child["use:dropout"]
        amounts += [child["label_smoothing.amount"]] * child["use:label_smoothing"]
    assert min(len(rates), len(amounts)) > 3
    assert rates == pytest.approx([0.5] * len(rates))
    assert amounts == pytest.approx([0.3] * len(amounts))


@pytest.mark.parametrize("name", ["cma-es", "genetic", "gp"])
def test_trials_that_were_pruned_or_failed_are_no_good_ones(name: str) -> None:
    space = bowl(2)
    good = {"x0": 1.0, "x1": 0.1}
    bad = {"x0": -2.0, "x1": 1e-4}
    history = [TrialResult({**good, "x0": 1.0 + 0.01 * i}, 0.5, None) for i in range(6)]
    history += [TrialResult({**bad, "x0": -2.0 + 0.01 * i}, 9.0, 1) for i in range(3)]
    history += [TrialResult({**bad, "x1": 1e-4 * (1 + i)}, None, None) for i in range(3)]
    values = values_of(history)
    assert min(values[:6]) == max(values[6:]) == 0.5
    assert set(best_first(history)[:6]) == set(range(6))
    assert len(best_first(history)) == 9
    sampler = make_sampler(name, space, 0, 0, history)
    for point in sampler.members({}, 2):
        assert set(point) == {"x0", "x1"}


def test_points_and_vectors_are_inverse() -> None:
    space = FunctionSpace(
        FunctionTask(
            train=print,
            settings={
                "a": (1, 64, "log"),
                "b": (2, 5),
                "c": ["x", "y", None],
                "d": (1e-3, 9.0, "log"),
            },
        )
    )
    cube = Cube(space.distributions)
    random = np.random.default_rng(0)
    for _ in range(50):
        point = cube.decode(random.random(4))
        again = cube.decode(cube.encode(point))
        assert {**again, "d": point["d"]} == point
        assert again["d"] == pytest.approx(point["d"])
    assert cube.decode(np.array([-1.0, 2.0, 1.0, 1.0])) == {"a": 1, "b": 5, "c": None, "d": 9.0}


def test_a_grid_covers_all_of_it_once_and_then_ends() -> None:
    facts = problem("table").facts()
    space = Space(
        baseline(facts), facts, None,
        ("adamw.learning_rate=0.001, 0.01", "dropout.rate=0.1,0.2,0.3", "choose:averaging=ema,none"),
    )  # fmt: skip
    assert size(space) == 2 * 3 * 2  # the settings of ema keep their defaults
    history: list[TrialResult] = []
    for generation in range(20):
        sampler = make_sampler("grid", space, 0, generation, history)
        first = sampler.ask()
        if first is None:
            break
        points_ = [first, *sampler.members(first, 4)]
        assert len({space.recipe(p).structure for p in points_}) == 1
        # One failed, one was pruned: they were tried as well.
        history += [
            TrialResult(json.loads(json.dumps(p)), (0.5, None)[i % 2], (None, 1)[i % 2])
            for i, p in enumerate(points_)
        ]
    assert first is None
    recipes = [space.recipe(each.params) for each in history]
    assert len(history) == len({recipe.id for recipe in recipes}) == 12
    assert all("dropout" in recipe for recipe in recipes)
    assert sum("ema" in recipe for recipe in recipes) == 6


def test_a_coarse_grid_counts_settings_only_where_their_technique_is_in() -> None:
    facts = problem("table").facts()
    space = Space(baseline(facts), facts, ("dropout", "label_smoothing"))
    out = {name: coarse(d) for name, d in space.distributions.items()}
    assert [len(each) for each in out.values()] == [2, 3, 2, 3]
    found_ = points(space)
    assert len(found_) == size(space) == (1 + 3) * (1 + 3)
    assert len({space.recipe(point).id for point in found_}) == 16
    assert coarse(FloatDistribution(0.0, 3.0)) == [0.5, 1.5, 2.5]
    assert coarse(IntDistribution(1, 2)) == [1, 2]
    with pytest.raises(TaskError, match=r"the grid over \d+ parameters has about 10\^\d+ points"):
        GridSampler(Space(baseline(facts), facts), 0, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search": "grid"}, r"has about 10\^\d+ points, of .* at most 10,000 are allowed"),
        ({"search": "grid", "grid": "adamw.rate=1"}, "got a grid of 'adamw.rate' "),
        ({"search": "grid", "grid": "adamw.learning_rate"}, "give a parameter and its values"),
        ({"search": "grid", "grid": "adamw.learning_rate=7"}, "allowed are numbers from"),
        ({"search": "grid", "grid": "adanw.learning_rate=1"}, "unknown technique 'adanw'"),
        (
            {"search": "gp", "grid": "adamw.learning_rate=0.1"},
            "for the search 'gp'; give search='grid'",
        ),
        ({"search": "gp,tpe"}, "with two samplers, gp and tpe"),
        ({"search": "hyperban"}, r"unknown search 'hyperban' \(did you mean 'hyperband'"),
    ],
)
def test_a_wrong_search_is_one_line_and_leaves_nothing(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(PawlError, match=message) as caught:
        pawl.optimize(frame(), target="target", trials=4, out=tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_function_takes_them_too(tmp_path: Path) -> None:
    """A grid ends when all of it was run; what prunes is refused."""

    def train(settings: dict[str, Any], seed: int) -> dict[str, float]:
        return {
            "loss": (settings["a"] - 2) ** 2 + settings["b"] + 0.01 * (seed % 7) * settings["a"]
        }

    task = FunctionTask(
        train=train, settings={"a": (0.0, 9.0), "b": [0, 1]}, metric="loss", direction="minimize"
    )
    result = pawl.tune(
        task, trials=40, search="grid", grid=("a=1,2,3",), out=tmp_path / "grid", executor="inline"
    )
    assert result.settings["a"] == 2.0
    with pytest.raises(TaskError, match="unknown search 'hyperband'"):
        pawl.tune(task, trials=4, search="hyperband", out=tmp_path / "other")
    many = {f"x{i}": [1, 2, 3, 4, 5, 6] for i in range(8)}
    large = FunctionTask(train=train, settings=many, metric="loss", direction="minimize")
    with pytest.raises(TaskError, match=r"the grid over 8 parameters has 1,679,616 points"):
        pawl.tune(large, trials=4, search="grid", out=tmp_path / "many")


def test_what_grids_name_is_what_may_vary() -> None:
    facts = problem("table").facts()
    grid = ("adamw.learning_rate=0.01", "choose:optimizer=adamw,sgd", "choose:averaging=ema,none")
    strategy = Strategy.of("grid,none", grid)
    assert strategy.only(None) == ("adamw", "sgd", "ema")
    assert strategy.only(("dropout",)) == ("dropout",)
    check_strategy(strategy, baseline(facts), facts, None)


def test_one_setting_matters_and_others_do_not() -> None:
    space = bowl(6)
    random = make_sampler("random", space, 3, 0, [])
    points_ = list(random.members({}, 150))
    cube = Cube(space.distributions)
    noise = np.random.default_rng(1).normal(size=150)
    history = [
        TrialResult(p, -((cube.encode(p)[3] - 0.9) ** 2) + 0.01 * float(e), None)
        for p, e in zip(points_, noise, strict=True)
    ]
    found_ = importances(space, history)
    assert found_[0].name == "x3"
    assert found_[0].p_value == pytest.approx(0.001)
    assert found_[0].value > 4 * found_[1].value
    assert Cube({"x3": space.distributions["x3"]}).encode({"x3": found_[0].likely})[0] > 0.8
    assert min(each.p_value for each in found_[1:]) > 0.01
    assert importances(space, history[:20]) == []
    assert importances(space, history) == found_


def test_nothing_matters_where_scores_are_noise() -> None:
    """At a level of 5% about one in twenty settings stands out."""
    space = bowl(5)
    out = []
    for seed in range(8):
        points_ = list(make_sampler("random", space, seed, 0, []).members({}, 60))
        scores = np.random.default_rng(seed).normal(size=60)
        history = [TrialResult(p, float(s), None) for p, s in zip(points_, scores, strict=True)]
        out += [each.p_value < 0.05 for each in importances(space, history)]
    assert len(out) == 40
    assert sum(out) <= 6  # more than six of forty has a chance of 1.4% at 5% each


def test_a_setting_is_judged_where_its_technique_is_in() -> None:
    facts = problem("table").facts()
    space = Space(baseline(facts), facts, ("dropout",))
    source = make_sampler("random", space, 0, 0, [])
    points_ = [source.ask() for _ in range(120)]
    history = []
    for point in points_:
        assert point is not None
        helps = point["use:dropout"] and point["dropout.rate"] < 0.04
        history.append(TrialResult(point, 1.0 if helps else 0.0, None))
    by_name = {each.name: each for each in importances(space, history)}
    assert set(by_name) == {"use:dropout", "dropout.rate"}
    assert by_name["dropout.rate"].trials == sum(h.params["use:dropout"] for h in history)
    assert by_name["use:dropout"].likely is True
    assert by_name["dropout.rate"].likely < 0.04
    assert all(each.p_value < 0.05 for each in by_name.values())
