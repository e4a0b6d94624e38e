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
