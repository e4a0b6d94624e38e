"""The space is the techniques' records: what fits is in, every point is a valid recipe, and back."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from problems import plain, problem
from pydantic import Field

from pawl.modalities.vectors import Tensors
from pawl.recipe import Recipe
from pawl.search import Space, baseline, fitting, starts
from pawl.search.protocols import Params
from pawl.techniques import (
    Facts,
    GradientTechnique,
    Settings,
    Stage,
    Technique,
    number,
    register,
    technique,
    techniques,
    unregister,
)

KINDS = ("table", "regression", "images", "codes", "own_model", "functional", "own_loss")


@functools.cache
def facts(kind: str) -> Facts:
    return problem(kind).facts()


@functools.cache
def space_of(kind: str) -> Space:
    return Space(baseline(facts(kind)), facts(kind))


def values(distribution: BaseDistribution) -> st.SearchStrategy[Any]:
    """Anything that a distribution allows, ends included."""
    if isinstance(distribution, CategoricalDistribution):
        return st.sampled_from(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if isinstance(distribution, IntDistribution):
        return st.integers(distribution.low, distribution.high)
    return st.floats(distribution.low, distribution.high)


def points(space: Space) -> st.SearchStrategy[Params]:
    return st.fixed_dictionaries({k: values(d) for k, d in space.distributions.items()})


@pytest.mark.parametrize("kind", KINDS)
def test_every_technique_that_fits_is_in_and_the_others_are_out_with_the_reason(kind: str) -> None:
    space = space_of(kind)
    inside = {t.name for t in space.techniques}
    assert inside | set(space.left_out) == {t.name for t in techniques()}
    assert not inside & set(space.left_out)
    for t in techniques():
        reason = t.fits(facts(kind))
        if reason is not None:
            assert space.left_out[t.name] == reason
            assert not [name for name in space.distributions if t.name in name.split(":")[-1:]]
        elif t.searched:
            # On its own, or as one of its group; then with each of its settings.
            chosen = space.distributions.get(f"choose:{t.group}") if t.group else None
            if isinstance(chosen, CategoricalDistribution):
                assert t.name in chosen.choices
            elif t.group is None:
                # Only what the baseline has and is no stop technique can not be done without.
                needed = t.name in space.baseline and t.stage is not Stage.STOP
                assert (f"use:{t.name}" in space.distributions) != needed
            for key in t.settings.model_fields:
                name = f"{t.name}.{key}"
                assert (name in space.distributions) == searched(t, key)
                assert (name in space.structural) == (searched(t, key) and key not in t.memberwise)


def searched(t: Technique, key: str) -> bool:
    extra = t.settings.model_fields[key].json_schema_extra
    return not isinstance(extra, dict) or bool(extra.get("searched", True))


def test_bounds_scales_and_choices_come_from_the_settings() -> None:
    space = space_of("table")
    rate = space.distributions["adamw.learning_rate"]
    assert isinstance(rate, FloatDistribution)
    assert (rate.low, rate.high, rate.log) == (1e-5, 0.05, True)
    layers = space.distributions["depth.layers"]
    assert isinstance(layers, IntDistribution)
    activation = space.distributions["activation.function"]
    assert isinstance(activation, CategoricalDistribution)
    assert "gelu" in activation.choices
    optimizer = space.distributions["choose:optimizer"]
    assert isinstance(optimizer, CategoricalDistribution)
    # The baseline has an optimizer, so there is no going without; it has no schedule.
    assert "none" not in optimizer.choices
    schedule = space.distributions["choose:schedule"]
    assert isinstance(schedule, CategoricalDistribution)
    assert schedule.choices[0] == "none"


@pytest.mark.parametrize("kind", KINDS)
def test_recipes_survive_the_way_to_a_point_and_back(kind: str) -> None:
    space = space_of(kind)
    for recipe in (space.baseline, *starts(space.baseline, facts(kind))):
        point = space.params(recipe)
        assert set(point) == set(space.distributions)
        assert space.recipe(point) == recipe
        assert space.params(space.recipe(point)) == point


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_point_is_a_valid_fitting_recipe(kind: str, data: st.DataObject) -> None:
    space = space_of(kind)
    point = data.draw(points(space))
    recipe = space.recipe(point)  # a recipe that clashes would raise
    assert fitting(recipe, facts(kind)) == recipe
    assert Recipe.from_toml(recipe.to_toml()) == recipe
    # What the baseline has is varied or swapped, never dropped, but for when to stop.
    for name, _ in space.baseline.entries:
        if technique(name).stage is Stage.STOP:
            continue
        group = technique(name).group
        peers = [n for n, _ in recipe.entries if group and technique(n).group == group]
        assert name in recipe or peers
    assert space.recipe(space.params(recipe)) == recipe
    # Members that share the structural part share a population.
    other = {**data.draw(points(space)), **space.structure(point)}
    assert space.recipe(other).structure == recipe.structure


@pytest.mark.parametrize("kind", ["table", "images"])
def test_points_that_optuna_samples_are_valid_too(kind: str) -> None:
    space = space_of(kind)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    recipes = {space.recipe(study.ask(space.distributions).params).id for _ in range(50)}
    assert len(recipes) == 50


class _One(Settings):
    """Settings of every type that can be searched."""

    share: float = number(0.1, 0.01, 1.0, "a share", log=True)
    count: int = Field(2, ge=1, le=4, description="a count")
    sharp: bool = Field(False, description="a switch")
    fixed: int = Field(
        7, ge=1, le=9, description="not searched", json_schema_extra={"searched": False}
    )


def _made(name: str, **more: Any) -> Technique:
    return GradientTechnique(
        name=name, summary="For the test.", reference="none",
        apply=lambda gradients, _weights, _context, _settings: gradients, settings=_One, **more,
    )  # fmt: skip


@pytest.fixture
def registered(request: pytest.FixtureRequest) -> Any:
    made: list[Technique] = [register(t) for t in request.param]
    yield made
    for t in made:
        unregister(t.name)


CLASHING = [_made("test_first", conflicts=frozenset({"test_second"})), _made("test_second")]


@pytest.mark.parametrize("registered", [CLASHING], indirect=True)
def test_what_clashes_with_an_earlier_technique_is_left_out(registered: list[Technique]) -> None:
    space = Space(baseline(facts("table")), facts("table"))
    point = space.params(space.baseline)
    both = space.recipe(point | {"use:test_first": True, "use:test_second": True})
    assert "test_first" in both
    assert "test_second" not in both
    assert "test_second" in space.recipe(point | {"use:test_second": True})
    assert isinstance(space.distributions["test_first.sharp"], CategoricalDistribution)
    assert isinstance(space.distributions["test_first.count"], IntDistribution)
    assert "test_first.fixed" not in space.distributions
    assert both.settings("test_first").model_dump()["fixed"] == 7


@pytest.mark.parametrize("registered", [CLASHING], indirect=True)
def test_the_baselines_techniques_win_a_clash(registered: list[Technique]) -> None:
    start = baseline(facts("table")).with_("test_second", share=0.5, fixed=3)
    space = Space(start, facts("table"))
    recipe = space.recipe(space.params(start) | {"use:test_first": True})
    assert "test_second" in recipe
    assert recipe.settings("test_second") == start.settings("test_second")


@pytest.mark.parametrize("registered", [[_made("test_fixed", searched=False)]], indirect=True)
def test_what_is_not_searched_stays_as_in_the_baseline(registered: list[Technique]) -> None:
    without = Space(baseline(facts("table")), facts("table"))
    assert without.left_out["test_fixed"] == "not searched"
    start = baseline(facts("table")).with_("test_fixed", share=0.5, count=3)
    space = Space(start, facts("table"))
    assert "test_fixed" not in space.left_out
    assert not [name for name in space.distributions if "test_fixed" in name]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    for _ in range(20):
        recipe = space.recipe(study.ask(space.distributions).params)
        assert recipe.settings("test_fixed") == start.settings("test_fixed")


def test_a_baseline_of_the_users_own_is_the_center_of_the_space() -> None:
    own = plain(dropout={"rate": 0.3}, cosine={})
    space = Space(own, facts("table"))
    assert space.recipe(space.params(own)) == own
    schedule = space.distributions["choose:schedule"]
    assert isinstance(schedule, CategoricalDistribution)
    assert "none" not in schedule.choices
    assert "use:dropout" not in space.distributions  # it may differ, but stays
    assert "dropout.rate" in space.distributions


@pytest.mark.parametrize("kind", KINDS)
def test_starts_are_valid_fitting_and_distinct(kind: str) -> None:
    start = baseline(facts(kind))
    assert fitting(start, facts(kind)) == start
    found = starts(start, facts(kind))
    assert len(found) >= 2
    assert len({recipe.id for recipe in (start, *found)}) == len(found) + 1
    for recipe in found:
        assert fitting(recipe, facts(kind)) == recipe
        assert recipe.changes(start)


def test_many_predictors_are_tried_early_where_the_network_is_pawls_own() -> None:
    known = facts("table")
    assert any("tabm" in recipe for recipe in starts(baseline(known), known)[:4])
    by_hand = Tensors().starts  # of arrays; tables go by what was learned
    assert any("tabm" in recipe for recipe in by_hand(baseline(known), known)[:2])
    many = dataclasses.replace(known, num_rows=50_000)  # where cheap recipes come first
    assert not any("tabm" in recipe for recipe in by_hand(baseline(many), many)[:2])
    foreign = dataclasses.replace(known, own_model=True)
    assert not any("tabm" in recipe for recipe in starts(baseline(foreign), foreign))


def test_starts_around_a_baseline_of_the_users_own_keep_what_excludes_others() -> None:
    own = plain(layer_norm={}, cosine={})
    for recipe in starts(own, facts("table")):
        assert fitting(recipe, facts("table")) == recipe


def test_a_baseline_without_early_stopping_is_tried_with_it_and_on_few_rows_in_small_batches() -> (
    None
):
    start = baseline(facts("table")).without("early_stopping")
    assert start.with_("early_stopping") in starts(start, facts("table"))
    few = dataclasses.replace(facts("table"), num_rows=500)
    many = dataclasses.replace(facts("table"), num_rows=50_000)
    rates = []
    for size, known in ((32, few), (128, many)):
        assert baseline(known).to_dict()["batch_size"] == {"size": size}
        known_good = starts(baseline(known), known)
        cycle = next(r for r in known_good if "ema" in r and "one_cycle" in r)
        rates.append(cycle.to_dict()["adamw"]["learning_rate"])
    assert rates == [0.002, 0.004]


def test_recipes_that_are_tried_first_are_points_whatever_they_choose() -> None:
    """A diagnosis may suggest a batch that is not among those that are searched."""
    facts = problem("table").facts()
    start = baseline(facts)
    small = start.with_("batch_size", size=9)
    name = "batch_size.size"
    assert 9 not in Space(start, facts).distributions[name].choices  # type: ignore[attr-defined]
    space = Space(start, facts, first=[small])
    distribution = space.distributions[name]
    point = space.params(small)
    assert distribution._contains(distribution.to_internal_repr(point[name]))
    assert space.recipe(point) == small
