"""Shapley values, splits and gain of trees from their arrays, against those by evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from explained import rows_of, subject_of

from pawl.explaining import shapley
from pawl.explaining.tree_gains import gains, split_counts
from pawl.explaining.tree_values import leaves_of, shapley_values
from pawl.models import Trees
from pawl.techniques.trees.lightgbm import trees_of


def boosted(outputs: int = 1, columns: int = 6) -> tuple[Trees, np.ndarray]:
    """LightGBM's trees on made-up rows, some values missing."""
    lightgbm = pytest.importorskip("lightgbm")
    generator = np.random.default_rng(0)
    x = generator.normal(size=(400, columns)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.maximum(x[:, 2], 0) + 0.1 * generator.normal(size=400)
    parameters = {"verbosity": -1, "num_leaves": 12, "num_threads": 1, "learning_rate": 0.3}
    if outputs > 1:
        y = np.digitize(y, [-0.5, 0.5])
        parameters |= {"objective": "multiclass", "num_class": outputs}
    booster = lightgbm.train(parameters, lightgbm.Dataset(x, y), 8)
    trees = Trees(outputs)
    trees.grow(trees_of(booster.model_to_string(), outputs), torch.zeros(outputs))
    x[generator.random(x.shape) < 0.05] = np.nan
    return trees, x


@pytest.mark.parametrize(("outputs", "background"), [(1, 16), (3, 16), (1, 1)])
def test_they_are_the_exact_shapley_values_of_the_sum(outputs: int, background: int) -> None:
    """By tables where the rows are many, by pairs of rows where there is one of the background."""
    trees, x = boosted(outputs)
    owners = np.array([0, 1, 2, 2, 3, 4])  # two numbers are one column
    rows, others = x[:5], x[20 : 20 + background]
    found = shapley_values(trees, owners, 5, rows, others)
    subject = subject_of("abcdef", lambda v: trees(torch.from_numpy(v.astype(np.float32))).numpy())
    features = [
        subject.features[0],
        subject.features[1],
        type(subject.features[2])("cd", "date", "numeric", (2, 3)),
        *subject.features[4:],
    ]
    for row in range(len(rows)):
        (right,) = shapley.exact(
            subject, features, rows_of(rows[row : row + 1]).inputs, rows_of(others).inputs
        )
        np.testing.assert_allclose(found[row], right.values, atol=1e-5)
    whole = trees(torch.from_numpy(rows)).numpy() - trees(torch.from_numpy(others)).numpy().mean(0)
    np.testing.assert_allclose(found.sum(1), whole, atol=1e-5)


def test_splits_and_gain_are_those_of_a_tree_known_by_hand() -> None:
    from pawl.models import Tree

    tree = Tree(
        feature=np.array([1, -1, 0, -1, -1]),
        threshold=np.array([0.0, 0.0, 1.0, 0.0, 0.0]),
        left=np.array([1, 0, 3, 0, 0]),
        right=np.array([2, 0, 4, 0, 0]),
        value=np.array([[0.0], [1.0], [0.0], [3.0], [7.0]]),
    )
    trees = Trees(1)
    trees.grow([tree], torch.zeros(1))
    owners = np.array([0, 1, 2])
    assert split_counts(trees, owners, 3).tolist() == [1, 1, 0]
    x = np.array([[0, -1, 0], [0, 1, 0], [2, 1, 0], [0, 1, 0]], dtype=np.float32)
    # Right of the first split are 3, 7, 3, left of it 1; the second parts 3, 3 from 7.
    expected = [2 * 1 / 3 * 16.0, 1 * 3 / 4 * (13 / 3 - 1) ** 2, 0.0]
    np.testing.assert_allclose(gains(trees, owners, 3, x), expected)
    leaves = leaves_of(trees, owners, np.array([0]), x)
    ways = [w[:n].tolist() for w, n in zip(leaves.columns, leaves.sizes, strict=True)]
    assert ways == [[1], [1, 0], [1, 0]]
    # The way left breaks for all but the first row; the others at the first, the second, or no column.
    assert leaves.broken.tolist() == [[0, 1, 1, 1], [1, 0, 2, 0], [3, 2, 0, 2]]


def test_a_tree_without_splits_says_nothing_of_any_column() -> None:
    trees = Trees(2)
    x = np.zeros((3, 2), dtype=np.float32)
    owners = np.arange(2)
    assert not shapley_values(trees, owners, 2, x, x).any()
    assert not gains(trees, owners, 2, x).any()
    assert not split_counts(trees, owners, 2).any()
