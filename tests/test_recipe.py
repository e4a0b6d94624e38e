"""Recipes: order, refusals, differences and TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import annotated_types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pawl.errors import RecipeError
from pawl.recipe import Change, Recipe
from pawl.techniques import STAGES, Technique, excludes, techniques

BASE = Recipe.of(adamw={"learning_rate": 0.001}, standardize={}, early_stopping={})


def names(recipe: Recipe) -> list[str]:
    return [technique.name for technique, _ in recipe]


def test_order_does_not_depend_on_how_it_was_written() -> None:
    tables: dict[str, Any] = {
        "dropout": {},
        "early_stopping": {},
        "adam": {},
        "batch_norm": {},
        "mixup": {},
        "activation": {},
        "depth": {},
        "width": {},
        "noise": {},
        "standardize": {},
    }
    there = Recipe.from_dict(tables)
    back = Recipe.from_dict(dict(reversed(tables.items())))
    assert there == back
    assert there.id == back.id
    assert names(there) == [
        "standardize", "width", "depth", "activation", "batch_norm", "dropout", "noise", "mixup",
        "adam", "early_stopping",
    ]  # fmt: skip


def test_an_id_depends_on_every_value() -> None:
    assert BASE.id != BASE.with_("adamw", learning_rate=0.002).id
    assert BASE.id != BASE.without("standardize").id
    assert BASE.with_("width", factor=2).id == BASE.with_("width", factor=2.0).id


def test_structure_is_what_members_share() -> None:
    assert BASE.structure == BASE.with_("adamw", learning_rate=0.02).structure
    assert BASE.structure != BASE.with_("batch_size", size=32).structure
    wide, wider = BASE.with_("width", factor=2.0), BASE.with_("width", factor=3.0)
    assert wide.structure != wider.structure


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"standardize": {}}, "exactly one optimizer, this one has 0"),
        ({"adamww": {}}, "unknown technique 'adamww' (did you mean 'adamw'?)"),
        ({"adamw": {"learnin_rate": 1}}, "(did you mean 'learning_rate'?); it has: learning_rate"),
        ({"adamw": {"learning_rate": 7}}, "'learning_rate': got 7"),
        ({"adamw": {"learning_rate": "much"}}, "'learning_rate': got 'much'"),
        ({"adamw": {"learning_rate": float("nan")}}, "'learning_rate': got nan"),
        ({"adamw": {}, "width": {"factor": 1.7}}, "'factor': got 1.7"),
        ({"adamw": 3}, "must be a table of settings, got 3"),
        ({"adamw": {}, "weight_decay": {}}, "'adamw' and 'weight_decay' exclude each other; keep"),
        (
            {"adamw": {}, "adam": {}},
            "exclude each other (a recipe has at most one optimizer); keep one",
        ),
        (
            {"adam": {}, "batch_norm": {}, "layer_norm": {}},
            "exclude each other (a recipe has at most one normalization); keep one",
        ),
    ],
)
def test_refusals_say_what_was_got_and_what_is_allowed(
    tables: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(tables)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_technique_is_given_once() -> None:
    with pytest.raises(RecipeError, match="'adamw' is given twice"):
        Recipe((*BASE.entries, BASE.entries[1]))


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"cannot read the recipe .*nowhere.toml"):
        Recipe.read(tmp_path / "nowhere.toml")
    (tmp_path / "bad.toml").write_text("[adamw\n")
    with pytest.raises(RecipeError, match=r"bad.toml is not TOML"):
        Recipe.read(tmp_path / "bad.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="cannot read the recipe"):
        Recipe.read(tmp_path / "bytes.toml")


def test_reading_a_file(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(BASE.to_toml())
    assert Recipe.read(tmp_path / "recipe.toml") == BASE


def test_with_replaces_within_a_group_and_merges_settings() -> None:
    changed = BASE.with_("sgd", learning_rate=0.1)
    assert changed.optimizer == "sgd"
    assert "adamw" not in changed
    assert changed.with_("cosine").with_("one_cycle").without("one_cycle") == changed
    merged = BASE.with_("adamw", weight_decay=0.1).settings("adamw").model_dump()
    assert merged["learning_rate"] == BASE.settings("adamw").model_dump()["learning_rate"]
    assert merged["weight_decay"] == 0.1


def test_asking_for_what_is_not_there() -> None:
    with pytest.raises(RecipeError, match="the recipe has no technique 'dropout'"):
        BASE.settings("dropout")


def test_changes_name_each_difference_once() -> None:
    newer = (
        BASE.with_("normalize").with_("dropout").with_("adamw", learning_rate=0.01)
        .without("early_stopping")
    )  # fmt: skip
    assert newer.changes(BASE) == (
        Change("normalize", "swapped", "standardize"),
        Change("dropout", "added"),
        Change("adamw", "changed"),
        Change("early_stopping", "removed"),
    )
    assert BASE.changes(BASE) == ()


def test_describe_shows_only_what_differs() -> None:
    newer = BASE.with_("adamw", learning_rate=0.01).with_("dropout", rate=0.25)
    assert newer.describe(BASE) == "dropout (rate 0.25); adamw (learning_rate 0.01)"
    assert BASE.without("early_stopping").describe(BASE) == "no early_stopping"
    assert BASE.describe(BASE) == "as the baseline"


def _values(technique: Technique) -> st.SearchStrategy[dict[str, Any]]:
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in technique.settings.model_fields.items():
        if get_origin(field.annotation) is Literal:
            fields[name] = st.sampled_from(get_args(field.annotation))
            continue
        bounds: dict[type, Any] = {type(item): item for item in field.metadata}
        if annotated_types.Ge not in bounds:  # a list, as of changes on the way
            continue
        low, high = bounds[annotated_types.Ge].ge, bounds[annotated_types.Le].le
        number = st.integers if field.annotation is int else st.floats
        fields[name] = number(low, high)
    return st.fixed_dictionaries(fields)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    optimizer = draw(st.sampled_from([t for t in techniques() if t.group == "optimizer"]))
    chosen = [optimizer]
    for technique in draw(st.lists(st.sampled_from(techniques()), max_size=12, unique=True)):
        if not any(technique is other or excludes(technique, other) for other in chosen):
            chosen.append(technique)
    return Recipe.from_dict({t.name: draw(_values(t)) for t in chosen})


@settings(max_examples=100, deadline=None)
@given(recipes())
def test_toml_gives_the_recipe_back(recipe: Recipe) -> None:
    again = Recipe.from_toml(recipe.to_toml())
    assert again == recipe
    assert again.id == recipe.id
    assert again.structure == recipe.structure


@settings(max_examples=100, deadline=None)
@given(recipes(), recipes())
def test_undoing_every_change_gives_the_older_recipe(newer: Recipe, older: Recipe) -> None:
    changes = newer.changes(older)
    assert (newer == older) == (not changes)
    # Additions go first: undoing a swap may bring back what an addition excludes.
    kinds = ("added", "swapped", "changed", "removed")
    recipe = newer
    for change in sorted(changes, key=lambda change: kinds.index(change.kind)):
        recipe = recipe.revert(change, older)
    assert recipe == older


@settings(max_examples=50, deadline=None)
@given(recipes())
def test_stages_come_in_their_order(recipe: Recipe) -> None:
    stages = [STAGES.index(technique.stage) for technique, _ in recipe]
    assert stages == sorted(stages)
    for technique, values in recipe:
        assert (technique, values) in recipe.of_stage(type(technique))


@pytest.mark.parametrize("value", ["0.01", True])
def test_a_number_is_no_text_and_no_switch(value: object) -> None:
    with pytest.raises(RecipeError, match=r"setting 'learning_rate': got .*; write a number"):
        Recipe.from_dict({"adamw": {"learning_rate": value}})
