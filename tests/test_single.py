"""Recipes on their own: what they say, once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pawl

RECIPE = pawl.Recipe.of(standardize={}, adamw={})
SAID = "have the inputs of"


def doubled() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    table = pd.DataFrame(generator.normal(size=(80, 3)), columns=["a", "b", "c"])
    table["target"] = np.where(table["a"] + table["b"] > 0, "yes", "no")
    return pd.concat([table, table], ignore_index=True)


def test_copies_of_rows_are_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By findings where there is a diagnosis, as in a campaign; by a note where there is none."""
    monkeypatch.setattr("pawl.pacing.sizes._STEPS", 20)
    given = {"target": "target"}
    trained = pawl.train(doubled(), RECIPE, out=tmp_path / "out", **given)
    compared = pawl.compare(doubled(), RECIPE, RECIPE.with_("dropout"), pairs=5, epochs=1, **given)
    for found in (trained, compared):
        (note,) = [note for note in found.notes if SAID in note]
        assert note.startswith("80 of 160 rows (50%) have")
    diagnosed = pawl.diagnose(doubled(), epochs=1, **given)
    assert not any(SAID in note for note in diagnosed.notes)
    rules = [finding.rule for finding in diagnosed.findings]
    assert {"duplicate_rows", "rows_in_train_and_test"} <= set(rules)
    task = pawl.Task(data=doubled(), target="target")
    from pawl.data import load

    assert not any(SAID in note for note in load(task).notes)  # which a campaign says


def test_a_recipe_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With weights of one's own for classes, which must be there."""
    monkeypatch.setattr("pawl.pacing.sizes._STEPS", 20)
    recipe = RECIPE.with_("class_weights", weights={"yes": 9.0})
    path = tmp_path / "weighed.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    out = tmp_path / "out"
    pawl.train(doubled(), path, out=out, target="target", epochs=1)
    assert pawl.Recipe.read(out / "bundle" / "recipe.toml") == recipe
    for wrong, reason in (
        (3, "got a recipe of type int; give a Recipe or a file"),
        (RECIPE.with_("class_weights", weights={"maybe": 2.0}), "classes are no, yes"),
    ):
        with pytest.raises(pawl.PawlError, match=reason):
            pawl.train(doubled(), wrong, out=tmp_path / "wrong", target="target")
        assert not (tmp_path / "wrong").exists()


def test_test_rows_may_be_a_pair_of_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pawl.pacing.sizes._STEPS", 20)
    inputs = np.random.default_rng(0).normal(size=(120, 2)).astype(np.float32)
    targets = np.where(inputs[:, 0] > 0, "yes", "no")
    data, test = (inputs[:80], targets[:80]), (inputs[80:], targets[80:])
    trained = pawl.train(data, RECIPE, out=tmp_path / "out", test=test, epochs=1)
    assert 0 <= trained.value <= 1
    other = RECIPE.with_("dropout")
    assert pawl.compare(data, RECIPE, other, test=test, pairs=5, epochs=1).metric
    assert pawl.diagnose(data, test=list(test), epochs=1).to_json()
    assert len(pawl.find_rate(data, test=test, rates=5, steps=12, seeds=1).rates) == 5
