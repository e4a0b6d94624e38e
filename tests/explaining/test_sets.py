"""Sets and intervals on predictions whose coverage is known."""

from __future__ import annotations

import numpy as np
import pytest
from explained import probabilities, subject_of

from pawl.explaining.judged import Sets
from pawl.explaining.sets import as_promised, sets
from pawl.kinds import Conformal


def test_half_of_the_rows_make_sets_that_hold_the_others() -> None:
    subject = subject_of("a", lambda x: x, "binary")
    held = []
    for seed in range(30):
        generator = np.random.default_rng(seed)
        p = generator.beta(1.0, 1.5, 600)
        y = (generator.random(600) < p) * 1.0
        found = sets(subject, probabilities(p).astype(np.float32), y, None, seed=seed)
        assert isinstance(found, Sets)
        held.append(found.held)
        assert found.source == "one half of these rows"
        assert (found.made_by, found.rows) == (300, 300)
        assert sum(found.sizes) == 300
        assert found.sizes[0] == 0
        assert [each.name for each in found.classes] == ["no", "yes"]
        assert sum(each.rows for each in found.classes) == 300
        mean = sum(each.rows * each.size for each in found.classes) / 300
        assert mean == pytest.approx(np.dot(found.sizes, range(len(found.sizes))) / 300)
    assert np.mean(held) == pytest.approx(0.9, abs=0.015)


def test_the_bundles_own_are_judged_on_all_rows() -> None:
    subject = subject_of("a", lambda x: x)
    truth = np.random.default_rng(0).normal(size=500)
    kept = Conformal(coverage=0.8, limits=(1.2816,), rows=77)
    found = sets(subject, np.zeros(500, dtype=np.float32), truth, kept, seed=0)
    assert isinstance(found, Sets)
    assert (found.source, found.rows, found.made_by) == ("the bundle", 500, 77)
    assert found.held == pytest.approx(0.8, abs=0.05)
    assert as_promised(found)
    assert found.widths == [pytest.approx(2.5632)]
    assert found.spread == [pytest.approx(1.0, abs=0.1)]
    assert found.sizes == []
    narrow = sets(
        subject, np.zeros(500, dtype=np.float32), truth, Conformal(0.8, (0.5,), 77), seed=0
    )
    assert isinstance(narrow, Sets)
    assert not as_promised(narrow)


def test_one_class_alone_and_too_few_rows() -> None:
    subject = subject_of("a", lambda x: x, "binary")
    sure = probabilities(np.full(100, 0.1)).astype(np.float32)
    found = sets(subject, sure, np.zeros(100), None, seed=0)
    assert isinstance(found, Sets)
    assert [each.name for each in found.classes] == ["no"]
    assert found.held == 1.0
    few = sets(subject, sure[:10], np.zeros(10), None, seed=0)
    assert isinstance(few, str)
    assert "10 rows" in few
