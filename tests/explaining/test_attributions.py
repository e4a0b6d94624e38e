"""Attributions of rows: known values, completeness, and tests that can fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from explained import probabilities, rows_of, subject_of

from pawl.data.types import Examples, Inputs, InputSpec, Schema, TargetColumn
from pawl.explaining import shapley
from pawl.explaining.attributions import attribute, by_shapley, told
from pawl.explaining.effort import Effort
from pawl.explaining.estimate import Estimate
from pawl.explaining.subject import Subject, taken

W = np.array([2.0, -1.0, 0.5, 0.0, 3.0])


def data(columns: int, rows: int = 300) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(rows, columns)) + 1.0


@pytest.mark.parametrize("columns", [5, 14])
def test_of_a_linear_model_they_are_weights_times_distances_from_the_mean(columns: int) -> None:
    x = data(columns)
    weights = np.resize(W, columns)
    subject = subject_of("abcdefghijklmn"[:columns], lambda x: x @ weights)
    rows = rows_of(x).inputs
    some = taken(rows, [0, 1, 2])
    found = attribute(subject, some, rows, seed=0, effort=Effort())
    assert found.exact == (columns == 5)
    background = found.background["numeric"].numpy()
    for row, estimate in enumerate(found.estimates):
        expected = weights * (x[row] - background.mean(0))
        np.testing.assert_allclose(estimate.values[:, 0], expected, atol=1e-5)
        # The background is a sample of the rows: errors say how far it may be off.
        away = estimate.values[:, 0] - weights * (x[row] - x.mean(0))
        assert (np.abs(away) <= 4 * estimate.errors[:, 0] + 1e-6).all()
    kept = told(subject, some, found, [], "exact Shapley values")
    assert kept.completeness is not None
    assert kept.completeness < 0.05
    assert kept.rows[0].values[3] == 0


def test_sampled_ones_come_near_exact_ones_and_know_how_near() -> None:
    x = data(6)

    def function(x: np.ndarray) -> np.ndarray:
        return x[:, 0] * x[:, 1] + np.maximum(x[:, 2], x[:, 3]) + (x[:, 4] > 1)

    subject = subject_of("abcdef", function)
    rows = rows_of(x).inputs
    row, background = taken(rows, [7]), taken(rows, np.arange(100, 132))
    (right,) = shapley.exact(subject, subject.features, row, background)
    (near,) = shapley.sampled(subject, subject.features, row, background, 32 * 20, 1)
    np.testing.assert_allclose(
        right.values.sum(), function(x[7:8])[0] - right.path[0, 0], atol=1e-5
    )
    np.testing.assert_allclose(near.values.sum(), right.values.sum(), atol=1e-5)
    assert right.values[5, 0] == pytest.approx(0, abs=1e-6)
    assert (np.abs(near.values - right.values) <= 4 * near.errors + 1e-5).all()
    assert np.abs(near.values - right.values).max() < 0.2
    np.testing.assert_allclose(near.path[[0, -1]], right.path[[0, -1]], atol=1e-5)


def test_a_product_is_shared_and_a_date_or_category_is_one_column() -> None:
    x = np.array([[3.0, 5.0]])
    subject = subject_of("abC", lambda x: x[:, 0] * x[:, 1] + 10 * (x[:, 2] == 2))
    row = rows_of(x, np.array([[2]])).inputs
    background = rows_of(np.zeros((1, 2)), np.array([[1]])).inputs
    (found,) = shapley.exact(subject, subject.features, row, background)
    np.testing.assert_allclose(found.values[:, 0], [7.5, 7.5, 10.0], atol=1e-5)


def test_good_ones_pass_all_tests_of_two_classes() -> None:
    x = data(8)
    weights = np.array([2.0, -1.0, 0.5, 0.0, 3.0, 0.2, -0.7, 0.0])
    subject = subject_of(
        "abcdefgh", lambda x: probabilities(1 / (1 + np.exp(-(x - 1) @ weights))), "binary"
    )
    other = subject_of(
        "abcdefgh",
        lambda x: probabilities(1 / (1 + np.exp(-(x - 1) @ np.roll(weights, 3)))),
        "binary",
    )
    rows = rows_of(x).inputs
    some = taken(rows, np.arange(12))
    found = attribute(subject, some, rows, seed=0, effort=Effort())
    made = {each.name: each for each in by_shapley(subject, some, found, [other], seed=0).checks}
    assert set(made) == {"completeness", "stability", "weights", "deletion"}
    assert all(each.passed for each in made.values()), made
    same = {each.name: each for each in by_shapley(subject, some, found, [subject], seed=0).checks}
    assert not same["weights"].passed


def test_wrong_ones_fail() -> None:
    x = data(6)
    subject = subject_of("abcdef", lambda x: x @ np.array([5.0, 4.0, 3.0, 0.3, 0.2, 0.1]))
    rows = rows_of(x).inputs
    some = taken(rows, np.arange(12))
    found = attribute(subject, some, rows, seed=0, effort=Effort())
    generator = np.random.default_rng(0)
    for estimate in found.estimates:
        estimate.values[:] = generator.normal(size=estimate.values.shape)
        estimate.halves[0] = generator.normal(size=estimate.values.shape)
    made = {each.name: each for each in by_shapley(subject, some, found, [], seed=0).checks}
    assert [name for name, each in made.items() if each.passed] == []


def test_columns_that_do_not_differ_are_left_out_and_all_sets_of_the_others_evaluated() -> None:
    generator = np.random.default_rng(1)
    x = generator.integers(0, 2, (40, 12)).astype(np.float64)
    x[:, 9:] = 0
    x[3, 0] = np.nan

    def function(x: np.ndarray) -> np.ndarray:
        x = np.nan_to_num(x, nan=0.5)
        return x[:, 0] * x[:, 1] * x[:, 2] + np.maximum(x[:, 3], x[:, 4] + x[:, 5]) * x[:, 6]

    subject = subject_of("abcdefghijkl", function)
    rows = rows_of(x).inputs
    row, background = taken(rows, [3]), taken(rows, np.arange(8, 24))
    (found,) = shapley.exact(subject, subject.features, row, background)
    apart = np.nan_to_num(x[3], nan=9.0) != x[8:24]
    sets = 2 ** apart.sum(1)
    assert shapley.sets_of(subject.features, row, background) == [sets.sum()]
    # The row itself and each background row are asked for once.
    assert found.evaluations == (sets - 2).sum() + 16 + 1
    assert not found.values[7:].any()
    # The definition, over orders of the first seven columns.
    right = np.zeros(7)
    orders = [generator.permutation(7) for _ in range(3000)]
    for order in orders:
        b = x[8 + generator.integers(16)].copy()
        for column in order:
            before = function(b[None])[0]
            b[column] = x[3, column]
            right[column] += (function(b[None])[0] - before) / len(orders)
    np.testing.assert_allclose(found.values[:7, 0], right, atol=0.05)
    whole = function(x[3:4])[0] - function(x[8:24]).mean()
    np.testing.assert_allclose(found.values.sum(), whole, atol=1e-6)
    (near,) = shapley.sampled(subject, subject.features, row, background, 16 * 30, 0)
    np.testing.assert_allclose(near.values, found.values, atol=1e-6)  # sets are fewer than orders
    np.testing.assert_allclose(near.path, found.path, atol=1e-6)
    ends = [function(x[8:24]).mean(), function(x[3:4])[0]]
    np.testing.assert_allclose(found.path[[0, -1], 0], ends, atol=1e-6)


@pytest.mark.parametrize("pairs", [0, 3, 40])
def test_rows_that_are_explained_together_are_explained_as_each_alone(pairs: int) -> None:
    x = data(5, 40)
    x[1, :3], x[2] = x[20, :3], x[21]  # in one game all players, in others fewer or none
    subject = subject_of("abcde", lambda x: x[:, 0] * x[:, 1] * x[:, 2] + np.abs(x[:, 3] - x[:, 4]))
    rows = rows_of(x).inputs
    some, background = taken(rows, [0, 1, 2]), taken(rows, np.arange(16, 32))

    def explained(inputs: Inputs) -> list[Estimate]:
        if not pairs:
            return shapley.exact(subject, subject.features, inputs, background)
        return shapley.sampled(subject, subject.features, inputs, background, pairs, 3)

    for place, together in enumerate(explained(some)):
        (alone,) = explained(taken(some, [place]))
        assert together.evaluations == alone.evaluations
        near = 1e-9 if pairs in (0, 40 * 16) else 5 * (together.errors + alone.errors).max()
        np.testing.assert_allclose(together.values, alone.values, atol=near)
        np.testing.assert_allclose(together.values.sum(), alone.values.sum(), atol=1e-9)


def test_the_path_is_the_mean_over_random_orders_of_all_columns() -> None:
    x = np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    subject = subject_of("abc", lambda x: 4.0 * x[:, 0] * x[:, 1])
    rows = rows_of(x).inputs
    (found,) = shapley.exact(subject, subject.features, taken(rows, [0]), taken(rows, [1]))
    # Of two of three columns in a random order, both that count are in once in three times.
    np.testing.assert_allclose(found.path[:, 0], [0.0, 0.0, 4.0 / 3.0, 4.0], atol=1e-6)
    np.testing.assert_allclose(found.values[:, 0], [2.0, 2.0, 0.0], atol=1e-6)


def test_few_pairs_take_background_rows_from_all_of_it() -> None:
    x = np.arange(64.0)[:, None] * np.ones((1, 12))
    subject = subject_of("abcdefghijkl", lambda x: x.sum(1))
    rows = rows_of(x).inputs
    (found,) = shapley.sampled(subject, subject.features, taken(rows, [0]), rows, 16, 0)
    assert found.path[0, 0] == pytest.approx(12 * x[:, 0].mean(), rel=0.02)


def test_a_model_that_is_slow_is_not_asked_for_more_than_the_rules_say() -> None:
    x = data(30)
    subject = subject_of(
        "abcdefghijklmnopqrstuvwxyzäöüß", lambda x: x @ np.ones(30) + x[:, 0] * x[:, 1]
    )
    rows = rows_of(x).inputs
    found = attribute(subject, taken(rows, [0]), rows, seed=0, effort=Effort())
    assert not found.exact
    assert found.evaluations <= 32_000


def test_an_input_of_several_axes_is_one_column() -> None:
    schema = Schema(
        source="arrays", kind="regression", targets=(TargetColumn(name="y"),),
        inputs=(
            InputSpec(name="a", shape=(2, 3), dtype="float32"),
            InputSpec(name="b", shape=(2,), dtype="float32"),
        ),
    )  # fmt: skip

    def predict(rows: Examples) -> np.ndarray:
        return (rows.inputs["a"].sum((1, 2)) + 3 * rows.inputs["b"][:, 1]).numpy()

    subject = Subject(schema, predict)
    assert [each.name for each in subject.features] == ["a", "b[0]", "b[1]"]
    inputs = {"a": torch.randn(40, 2, 3), "b": torch.randn(40, 2)}
    some = taken(inputs, [0, 1])
    found = attribute(subject, some, inputs, seed=0, effort=Effort())
    means = {name: tensor.mean(0) for name, tensor in inputs.items()}
    for row, estimate in enumerate(found.estimates):
        a = (inputs["a"][row] - means["a"]).sum()
        b = 3 * (inputs["b"][row] - means["b"])[1]
        np.testing.assert_allclose(estimate.values[:, 0], [a, 0.0, b], atol=1e-4)


def test_an_end_leaves_at_least_one_row() -> None:
    x = data(4)
    subject = subject_of("abcd", lambda x: x.sum(1))
    rows = rows_of(x).inputs
    found = attribute(subject, taken(rows, [0, 1, 2]), rows, seed=0, effort=Effort(deadline=0.0))
    assert len(found.estimates) == 1
    assert torch.isfinite(found.background["numeric"]).all()
