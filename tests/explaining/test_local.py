"""Ablation and LIME on functions whose parts are known."""

from __future__ import annotations

import numpy as np
import pytest
from explained import probabilities, rows_of, subject_of

from pawl.explaining.attributions import attribute, by_ablation, by_lime
from pawl.explaining.effort import Effort
from pawl.explaining.local import ablated, lime
from pawl.explaining.subject import Subject, taken

WEIGHTS = np.array([2.0, -1.0, 0.5, 0.0, 3.0])


def linear(weights: np.ndarray = WEIGHTS) -> Subject:
    return subject_of("abcde", lambda x: x @ weights)


def rows(count: int = 200) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 5)) + 1.0


def test_of_a_linear_model_both_are_weights_times_distances() -> None:
    x = rows()
    inputs = rows_of(x).inputs
    row, background = taken(inputs, [0]), taken(inputs, np.arange(10, 74))
    expected = WEIGHTS * (x[0] - x[10:74].mean(0))
    subject = linear()
    lost = ablated(subject, subject.features, row, background)
    np.testing.assert_allclose(lost.values[:, 0], expected, atol=1e-5)
    assert lost.values[3, 0] == 0
    assert lost.evaluations <= 64 * 5 + 1
    near, _ = lime(subject, subject.features, row, background, 4000, 0)
    away = np.abs(near.values[:, 0] - expected)
    assert (away <= 5 * near.errors[:, 0] + 0.03 * np.abs(expected).max()).all()


def test_what_columns_do_only_together_counts_for_each_where_one_is_taken() -> None:
    subject = subject_of("ab", lambda x: x[:, 0] * x[:, 1])
    row, zero = rows_of(np.array([[3.0, 5.0]])).inputs, rows_of(np.zeros((1, 2))).inputs
    found = ablated(subject, subject.features, row, zero)
    np.testing.assert_allclose(found.values[:, 0], [15.0, 15.0], atol=1e-6)


def test_small_outputs_are_not_zeroed_and_a_bad_fit_is_seen() -> None:
    x = rows()
    small = subject_of("abcde", lambda x: 1e-4 * (x @ WEIGHTS))
    inputs = rows_of(x).inputs
    found, fit = lime(
        small, small.features, taken(inputs, [0]), taken(inputs, np.arange(32)), 512, 0
    )
    assert np.abs(found.values).max() > 1e-5
    assert 0.0 <= fit[0] <= 1.0
    parity = subject_of("abcde", lambda x: np.prod(np.where(x > 0.5, 1.0, -1.0), 1))
    bits = np.random.default_rng(1).integers(0, 2, (64, 5)).astype(np.float64)
    some = rows_of(bits).inputs
    _, poor = lime(parity, parity.features, taken(some, [0]), some, 2000, 0)
    assert poor[0] < 0.3
    flat = subject_of("abcde", lambda x: 0.0 * x[:, 0])
    none, fit = lime(flat, flat.features, taken(inputs, [0]), inputs, 512, 0)
    assert not none.values.any()
    assert fit[0] == 1.0


def test_the_same_seed_gives_the_same() -> None:
    subject, inputs = linear(), rows_of(rows()).inputs
    one, two, other = (
        lime(subject, subject.features, taken(inputs, [0]), inputs, 256, seed)[0].values
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 0


def test_they_come_with_checks_that_can_fail() -> None:
    x = rows(300)
    inputs = rows_of(x).inputs
    weights = np.array([4.0, -2.0, 1.0, 0.4, 3.0])

    def two(weights: np.ndarray) -> Subject:
        return subject_of(
            "abcde", lambda x: probabilities(1 / (1 + np.exp(-0.3 * (x - 1) @ weights))), "binary"
        )

    subject, other = two(weights), two(np.roll(weights, 2))
    some = taken(inputs, np.arange(10))
    found = attribute(subject, some, inputs, seed=0, effort=Effort())
    for kept in (
        by_ablation(subject, some, found, [other]),
        by_lime(subject, some, found, [other], seed=0),
    ):
        made = {each.name: each for each in kept.checks}
        assert "completeness" not in made
        assert kept.completeness is None
        assert made["stability"].passed
        assert made["deletion"].passed, made["deletion"]
        assert made["weights"].passed, made["weights"]
    same = by_ablation(subject, some, found, [subject])
    assert not {each.name: each for each in same.checks}["weights"].passed
    assert {each.name for each in by_lime(subject, some, found, [], seed=0).checks} == {
        "fit",
        "stability",
        "deletion",
    }


@pytest.mark.parametrize("method", ["ablation", "lime"])
def test_a_single_background_row_is_enough(method: str) -> None:
    subject = linear()
    row, one = rows_of(np.ones((1, 5))).inputs, rows_of(np.zeros((1, 5))).inputs
    if method == "ablation":
        found = ablated(subject, subject.features, row, one)
        np.testing.assert_allclose(found.values[:, 0], WEIGHTS, atol=1e-6)
    else:
        found, fit = lime(subject, subject.features, row, one, 2000, 0)
        np.testing.assert_allclose(found.values[:, 0], WEIGHTS, rtol=0.15, atol=0.05)
        assert fit[0] > 0.95
