"""The default sampler: few edits of good recipes, and members around them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from problems import problem

from pawl.recipe import Recipe
from pawl.search import EditSampler, Space, TrialResult, baseline, starts
from pawl.search.protocols import Params


@pytest.fixture(scope="module")
def space() -> Space:
    facts = problem("table").facts()
    return Space(baseline(facts), facts)


@pytest.fixture(scope="module")
def good(space: Space) -> list[Recipe]:
    facts = problem("table").facts()
    return [space.baseline, *starts(space.baseline, facts)]


def told(space: Space, *recipes: Recipe) -> list[TrialResult]:
    """Trials of these recipes, the first the best."""
    return [TrialResult(space.params(r), 0.9 - 0.1 * i, None) for i, r in enumerate(recipes)]


def edits(space: Space, before: Recipe, after: Params) -> int:
    """Counts what a point has that a recipe has not, and the other way round."""
    return len(space.recipe(after).changes(before))


def test_edits_are_few_and_give_a_structure_that_was_not_tried(
    space: Space, good: list[Recipe]
) -> None:
    history = told(space, *good[:3])
    tried = {recipe.structure for recipe in good[:3]}
    counts = []
    for seed in range(60):
        point = EditSampler(space, seed, history).changed()
        assert space.recipe(point).structure not in tried
        counts.append(min(edits(space, recipe, point) for recipe in good[:3]))
    # An edit can change two techniques: what it brings in may shut another out.
    assert max(counts) <= 8
    assert np.median(counts) == 1


def test_half_of_what_is_edited_is_the_best_one_with_one_edit(
    space: Space, good: list[Recipe]
) -> None:
    """Also where its neighbors by other edits score far worse, and a better trial was pruned."""
    pruned = TrialResult(space.params(good[3]), 0.99, 2)
    history = [*told(space, *good[:3]), pruned]
    best = space.params(good[0])
    one = 0
    for seed in range(80):
        point = EditSampler(space, seed, history).changed()
        differing = [name for name, value in point.items() if value != best[name]]
        one += len(differing) == 1
    assert 30 <= one <= 65


def test_a_third_of_the_points_are_the_best_structure_with_other_settings(
    space: Space, good: list[Recipe]
) -> None:
    history = told(space, *good[:3])
    points = [EditSampler(space, seed, history).ask() for seed in range(120)]
    again = [point for point in points if space.recipe(point).structure == good[0].structure]
    assert 25 <= len(again) <= 55
    assert len({space.recipe(point).id for point in again} | {good[0].id}) == len(again) + 1
    others = {space.recipe(point).structure for point in points} - {good[0].structure}
    assert others.isdisjoint(recipe.structure for recipe in good[:3])


def test_what_comes_in_goes_or_changes_has_equal_chances(space: Space, good: list[Recipe]) -> None:
    """However many techniques could come in: else recipes would only ever grow."""
    recipe = max(good, key=lambda each: len(each.entries))
    history = told(space, recipe)
    grown = shrunk = 0
    for seed in range(120):
        after = space.recipe(EditSampler(space, seed, history).ask())
        grown += len(after.entries) > len(recipe.entries)
        shrunk += len(after.entries) < len(recipe.entries)
    assert shrunk > 15
    assert grown > 15
    assert 0.4 < grown / shrunk < 2.5


def test_what_was_measured_to_help_comes_in_more_often(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    promising = {"dropout", "rmsprop"}
    monkeypatch.setattr(
        "pawl.search.space.weight", lambda name, modality: 1.0 if name in promising else 0.001
    )
    assert space.weight("use:dropout", True) == 1.0
    assert space.weight("use:dropout", False) == 1.0  # to take out is no matter of what it is worth
    assert space.weight("use:noise", True) == 0.001
    assert space.weight("choose:optimizer", "sgd") == 0.001
    history = told(space, space.baseline)
    came = [
        space.recipe(EditSampler(space, seed, history).ask()).changes(space.baseline)
        for seed in range(80)
    ]
    fresh = [c.name for each in came for c in each if c.kind == "added"]
    assert sum(name in promising for name in fresh) > 0.6 * len(fresh) > 10


def test_edits_are_borrowed_from_other_good_recipes(space: Space, good: list[Recipe]) -> None:
    """What another good recipe has comes into the best one more often than what none has."""
    plain, other = good[0], max(good, key=lambda each: len(each.entries))
    assert "early_stopping" in plain
    theirs = {change.name for change in other.changes(plain)}
    borrowed = foreign = 0
    for seed in range(200):
        after = space.recipe(EditSampler(space, seed, told(space, plain, other)).ask())
        if (
            "early_stopping" in after and len(after.entries) <= len(plain.entries) + 2
        ):  # built on the plain one
            came = {change.name for change in after.changes(plain)}
            borrowed += bool(came & theirs)
            foreign += bool(came - theirs)
    assert borrowed / len(theirs) > foreign / (len(space.techniques) - len(theirs))


def test_what_comes_in_has_the_settings_of_the_start(space: Space) -> None:
    """Not those that a point happens to carry for what is out: nothing was ever trained with them."""
    lowest = {
        name: distribution.low
        for name, distribution in space.distributions.items()
        if isinstance(distribution, FloatDistribution) and name in space.conditions
    }
    carried = {**space.params(space.baseline), **lowest}
    before, came = space.recipe(carried), set()
    for seed in range(100):
        after = space.recipe(EditSampler(space, seed, [TrialResult(carried, 0.9, None)]).ask())
        for t, settings in after:
            if t.name not in before:
                came |= {f"{t.name}.{key}" for key in settings.model_dump()} & lowest.keys()
                assert all(
                    value == space.start[f"{t.name}.{key}"]
                    for key, value in settings.model_dump().items()
                    if f"{t.name}.{key}" in lowest
                )
    assert len(came) > 10


def test_what_is_borrowed_comes_with_its_settings(space: Space) -> None:
    other = space.baseline.with_("dropout", rate=0.27)
    rates = set()
    for seed in range(80):
        after = space.recipe(EditSampler(space, seed, told(space, space.baseline, other)).ask())
        if "dropout" in after:
            rates.add(after.settings("dropout").model_dump()["rate"])
    assert 0.27 in rates
    assert rates <= {0.1, 0.27}  # 0.1 where it was not borrowed


def test_a_small_space_that_was_tried_is_tried_again(space: Space) -> None:
    """It neither fails nor proposes the recipe itself for ever."""
    facts = problem("table").facts()
    small = Space(baseline(facts), facts, only=("dropout",))
    tried = [
        small.baseline,
        small.baseline.with_("dropout"),
    ]
    point = EditSampler(small, 0, told(small, *tried)).ask()
    assert small.recipe(point).structure in {recipe.structure for recipe in tried}


def test_with_nothing_to_edit_a_point_is_drawn(space: Space) -> None:
    failed = TrialResult(space.params(space.baseline), None, None)
    for history in ([], [failed]):
        assert set(EditSampler(space, 0, history).ask()) == set(space.distributions)


@pytest.mark.parametrize("count", [0, 1, 2, 9, 20])
def test_half_of_the_members_are_near_the_first(
    space: Space, good: list[Recipe], count: int
) -> None:
    first = space.params(good[1])
    found = list(EditSampler(space, 3, told(space, *good)).members(first, count))
    assert len(found) == count
    near = math.ceil(0.5 * count)
    own = first["adamw.learning_rate"]
    rates = [point["adamw.learning_rate"] / own for point in found]
    assert all(abs(math.log(rate)) < 4.5 for rate in rates[:near])  # of normal draws
    assert len(set(rates)) == count
    if count > 8:
        assert np.median([abs(math.log(rate)) for rate in rates[:near]]) < math.log(4)
