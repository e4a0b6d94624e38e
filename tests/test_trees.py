"""Trees as a module are what the libraries that grew them say, to the last split."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.tree import DecisionTreeClassifier

from pawl.models import Tree, Trees
from pawl.models.trees import rounded_down
from pawl.techniques.trees.catboost import trees_of as catboost_trees
from pawl.techniques.trees.lightgbm import trees_of


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32)


def taken(tree: object, share: float = 1.0) -> Tree:
    t = tree.tree_  # type: ignore[attr-defined]
    value = t.value[:, 0, :] if t.value.shape[2] > 1 else t.value[:, :, 0]
    return Tree(t.feature, t.threshold, t.children_left, t.children_right, share * value)


def test_a_forest_of_two_targets() -> None:
    x = rows(300)
    y = np.stack([x[:, 0] * x[:, 1], np.sin(x[:, 2])], 1)
    forest = ExtraTreesRegressor(20, random_state=0, n_jobs=1).fit(x, y)
    trees = Trees(2)
    trees.grow([taken(each, 1 / 20) for each in forest.estimators_], torch.tensor([0.0, 5.0]))
    new = rows(200, 1)
    wanted = forest.predict(new) + np.array([0.0, 5.0])
    np.testing.assert_allclose(trees(torch.from_numpy(new)).numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_rows_on_a_threshold_go_left_as_the_library_has_it() -> None:
    x = np.repeat(np.linspace(0, 1, 11, dtype=np.float32), 3)[:, None]
    y = (np.arange(33) // 3) % 2
    grown = DecisionTreeClassifier(random_state=0).fit(x, y)
    trees = Trees(2)
    trees.grow([taken(grown)], torch.zeros(2))
    on = grown.tree_.threshold[grown.tree_.feature >= 0].astype(np.float32)[:, None]
    both = np.concatenate(
        [on, np.nextafter(on, np.float32(2)), np.nextafter(on, np.float32(-1)), x]
    )
    got = trees(torch.from_numpy(both)).numpy()
    np.testing.assert_array_equal(got, grown.predict_proba(both))


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(width=32, allow_nan=False))
def test_rounding_down_keeps_every_comparison(threshold: float, value: float) -> None:
    rounded = rounded_down(np.array([threshold]))[0]
    assert (np.float32(value) <= rounded) == (float(np.float32(value)) <= threshold)


@pytest.mark.parametrize("outputs", [1, 3])
def test_lightgbms_text(outputs: int) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    x = rows(400)
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5 if outputs == 3 else 0)
    parameters = {
        "objective": "binary" if outputs == 1 else "multiclass", "num_class": outputs,
        "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5,
    }  # fmt: skip
    booster = lightgbm.train(parameters, lightgbm.Dataset(x, y), 15)
    trees = Trees(outputs)
    trees.grow(trees_of(booster.model_to_string(), outputs), torch.zeros(outputs))
    new = rows(300, 2)
    raw = booster.predict(new, raw_score=True).reshape(300, -1)
    np.testing.assert_allclose(trees(torch.from_numpy(new)).numpy(), raw, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_catboosts_json(classes: int, tmp_path: Path) -> None:
    catboost = pytest.importorskip("catboost")
    x = rows(400)
    y = (x[:, 0] > 0).astype(int) + (2 * (x[:, 1] > 0.5) if classes == 3 else 0)  # 0, 1, 2, 3
    options = {
        "iterations": 15,
        "depth": 3,
        "logging_level": "Silent",
        "allow_writing_files": False,
    }
    loss = "Logloss" if classes == 2 else "MultiClass"
    y = np.where(y == 1, 2, y) if classes == 3 else y  # no row of class 1
    model = catboost.CatBoost({**options, "loss_function": loss}).fit(catboost.Pool(x, label=y))
    model.save_model(str(tmp_path / "model.json"), format="json")
    outputs, known = (1, np.array([0])) if classes == 2 else (4, np.array([0, 2, 3]))
    found, base = catboost_trees(json.loads((tmp_path / "model.json").read_text()), known, outputs)
    trees = Trees(outputs)
    trees.grow(found, torch.from_numpy(base))
    new = np.concatenate([rows(300, 2), x])
    said = trees(torch.from_numpy(new)).numpy()
    raw = model.predict(new, prediction_type="RawFormulaVal").reshape(len(new), -1)
    np.testing.assert_allclose(said[:, known], raw, rtol=1e-4, atol=1e-5)
    assert (np.delete(said, known, axis=1) < -20).all()


def test_a_tree_of_one_leaf_says_the_same_of_all_rows() -> None:
    leaf = Tree(np.array([-2]), np.array([0.0]), np.array([-1]), np.array([-1]), np.array([[3.0]]))
    trees = Trees(1)
    trees.grow([leaf, leaf], torch.zeros(1))
    assert trees(torch.zeros(4, 2)).tolist() == [[6.0]] * 4
