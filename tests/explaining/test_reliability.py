"""Calibration, weak slices and errors, on predictions whose faults are known."""

from __future__ import annotations

import numpy as np
import pytest
from explained import probabilities, rows_of, subject_of

from pawl.explaining import errors_of
from pawl.explaining.calibration import calibration, wilson
from pawl.explaining.judged import Slices
from pawl.explaining.slices import weak_slices


def drawn(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    p = generator.beta(1.0, 1.5, rows)
    return p, (generator.random(rows) < p) * 1.0


def test_a_calibrated_model_has_what_chance_makes_and_an_interval_down_to_zero() -> None:
    subject = subject_of("a", lambda x: x, "binary")
    inside = []
    for seed in range(20):
        p, y = drawn(500, seed)
        found = calibration(subject, probabilities(p), y, seed=seed)
        assert found.error < 0.08
        inside.append(found.interval[0] == 0)
        assert len(found.bins) == 10
        assert sum(each.rows for each in found.bins) == found.rows == 500
    assert np.mean(inside) >= 0.85


def test_one_that_is_too_sure_has_its_error() -> None:
    p, y = drawn(3000)
    sure = np.clip(p + 0.2 * np.sign(p - 0.5), 0, 1)
    subject = subject_of("a", lambda x: x, "binary")
    found = calibration(subject, probabilities(sure), y, seed=0)
    order = np.argsort(sure, kind="stable")
    expected = np.abs((sure - p)[order].reshape(10, -1).mean(1)).mean()
    assert found.interval[0] < expected < found.interval[1]
    assert found.interval[0] > found.by_chance[1]
    several = subject_of("a", lambda x: x, "multiclass")
    three = np.stack([sure, 0.6 * (1 - sure), 0.4 * (1 - sure)], 1)
    again = calibration(several, three, np.where(y == 1, 0.0, 1.0), seed=0)
    assert again.what == "Probability of the predicted class"
    assert again.error > again.by_chance[1]


def test_values_are_compared_by_their_means() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=2000)
    y = 2 * x + generator.normal(size=2000)
    subject = subject_of("a", lambda x: x)
    right = calibration(subject, 2 * x[:, None], y, seed=0)
    assert right.error <= right.by_chance[1]
    flat = calibration(subject, x[:, None], y, seed=0)
    assert flat.error == pytest.approx(np.abs(x).mean(), abs=0.1)
    assert flat.interval[0] > flat.by_chance[1]
    low = flat.bins[0]
    assert low.interval[0] < low.actual < low.interval[1] < low.predicted


def test_wilsons_interval_is_that_of_the_books() -> None:
    assert wilson(0.1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-3)


def slices_of(planted: bool, seed: int = 0, rows: int = 2000) -> Slices:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 4))
    x[generator.random(rows) < 0.1, 3] = np.nan
    codes = generator.integers(1, 4, (rows, 1))
    weak = (x[:, 1] > 0.8) & (codes[:, 0] == 2)
    errors = (generator.random(rows) < np.where(weak & planted, 0.6, 0.1)) * 1.0
    subject = subject_of("abcdE", lambda x: x)
    return weak_slices(
        subject.features,
        rows_of(x, codes).inputs,
        errors,
        error="share",
        important=["E", "b"],
        seed=seed,
    )


def test_a_planted_slice_is_found_and_described() -> None:
    found = slices_of(planted=True)
    first = found.slices[0]
    assert first.weak
    assert set(first.features) == {"b", "E"}
    assert "E is green" in first.text
    assert "b above 0." in first.text
    assert first.error == pytest.approx(0.6, abs=0.15)
    assert first.other == pytest.approx(0.1, abs=0.03)
    assert first.interval[0] > 0.2
    assert found.looked > found.tested >= 1


def test_where_there_is_none_none_is_called_weak() -> None:
    called = [any(each.weak for each in slices_of(False, seed, 600).slices) for seed in range(30)]
    assert np.mean(called) <= 0.14


def test_rows_without_a_value_are_a_slice_of_their_own() -> None:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(1000, 2))
    x[:300, 0] = np.nan
    errors = np.where(np.isnan(x[:, 0]), 5.0, 1.0) + generator.random(1000)
    subject = subject_of("ab", lambda x: x)
    found = weak_slices(
        subject.features, rows_of(x).inputs, errors, error="absolute error", important=[], seed=0
    )
    assert found.slices[0].text.startswith("a missing")
    assert found.slices[0].weak


def test_errors_by_class_and_the_worst_rows() -> None:
    subject = subject_of("a", lambda x: x, "multiclass")
    values = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.05, 0.05, 0.9]])
    targets = np.array([0.0, 1.0, 1.0, 0.0])
    found = errors_of.told(
        subject, values, values.astype(np.float32), targets, rows_of(np.arange(4.0)[:, None]), ["a"]
    )
    assert found.mean == 0.5
    a, b, c = found.classes
    assert (a.rows, a.recall, a.precision, a.taken_for) == (2, 0.5, 0.5, "c (1)")
    assert (b.rows, b.recall, b.precision, b.taken_for) == (2, 0.5, 1.0, "a (1)")
    assert (c.rows, c.recall, c.precision, c.taken_for) == (0, None, 0.0, "")
    worst = found.worst[0]
    assert (worst.row, worst.actual, worst.predicted) == (3, "a", "c (0.9)")
    assert worst.shown == ["a 3"]
    one = subject_of("a", lambda x: x)
    far, known = np.array([[1.0], [5.0]]), np.array([1.5, 2.0])
    numbers = errors_of.told(one, far, far[:, 0].astype(np.float32), known, rows_of(far))
    assert numbers.worst[0].row == 1
    assert numbers.worst[0].error == 3.0
    assert numbers.mean == pytest.approx(1.75)
