"""Partial dependence of functions that are known."""

from __future__ import annotations

import numpy as np
import pytest
from explained import probabilities, rows_of, subject_of

from pawl.explaining.dependence import dependences
from pawl.explaining.effort import Effort


def test_of_a_sum_each_row_is_the_columns_own_part() -> None:
    x = np.random.default_rng(0).normal(size=(500, 3))
    subject = subject_of("abc", lambda x: x[:, 0] ** 2 + 3 * x[:, 1])
    a, b, c = dependences(subject, rows_of(x).inputs, ["a", "b", "c"], seed=0, effort=Effort())
    assert (a.feature, a.output, a.rows, len(a.at)) == ("a", "y", 300, 20)
    for found, own in ((a, np.square), (b, lambda v: 3 * v), (c, np.zeros_like)):
        expected = own(np.array(found.at))
        np.testing.assert_allclose(np.diff(found.mean), np.diff(expected), atol=1e-4)
        for line in found.single:
            np.testing.assert_allclose(np.diff(line), np.diff(expected), atol=1e-4)
        assert all(
            low < mean < high for mean, (low, high) in zip(found.mean, found.interval, strict=True)
        )
    assert len(a.single) == 20
    assert a.at == sorted(a.at)
    assert a.checks[0].passed
    assert b.checks[0].value == pytest.approx(1.0)


def test_an_interaction_shows_in_single_rows_and_not_in_the_mean() -> None:
    x = np.random.default_rng(0).normal(size=(400, 2))
    subject = subject_of("ab", lambda x: x[:, 0] * np.sign(x[:, 1]))
    (found,) = dependences(subject, rows_of(x).inputs, ["a"], seed=0, effort=Effort())
    slopes = {np.sign(line[-1] - line[0]) for line in found.single}
    assert slopes == {1.0, -1.0}
    assert np.ptp(found.mean) < 0.3 * np.ptp(found.single[0])


def test_categories_come_by_how_common_they_are_and_gaps_are_no_value() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 1))
    x[:50] = np.nan
    codes = generator.choice([0, 1, 2, 3], size=(300, 1), p=[0.1, 0.2, 0.6, 0.1])
    subject = subject_of(
        "aB", lambda x: probabilities(0.1 + 0.2 * x[:, 1] + 0 * np.nan_to_num(x[:, 0])), "binary"
    )
    a, b = dependences(subject, rows_of(x, codes).inputs, ["a", "B"], seed=0, effort=Effort())
    assert np.isfinite(a.at).all()
    assert b.output == "yes"
    assert b.grid[:2] == ["green", "red"]
    assert set(b.grid) == {"unknown", "red", "green", "blue"}
    assert b.at == []
    assert dict(zip(b.grid, b.mean, strict=True))["blue"] == pytest.approx(0.7, abs=1e-5)
