"""Intervals and sets: they hold what they are asked to, by rows that nothing of theirs trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from campaigns import summary_of
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import frame

import pawl
from pawl.deployment import Bundle
from pawl.errors import PawlError, TaskError
from pawl.evidence import held
from pawl.kinds import KINDS, Conformal, refuse_coverage

VALUES, CLASSES = KINDS["regression"], KINDS["multiclass"]


def test_the_limit_is_the_right_order_statistic() -> None:
    truth = np.arange(1.0, 20.0)  # 19 rows, off by 1 to 19
    found = Conformal.of(VALUES, np.zeros(19), truth, 0.9)
    assert found is not None
    assert found.limits == (18.0,)  # the 18th of 19 + 1
    assert Conformal.of(VALUES, np.zeros(8), truth[:8], 0.9) is None  # it takes nine
    assert Conformal.of(VALUES, np.zeros(9), truth[:9], 0.9) is not None


def test_a_set_holds_every_class_that_is_likely_enough_and_never_none() -> None:
    found = Conformal(0.9, (0.7,), 100)
    likely = np.array([[0.5, 0.31, 0.19], [0.98, 0.01, 0.01], [0.28, 0.26, 0.27]])
    assert found.sets(likely).tolist() == [
        [True, True, False],
        [True, False, False],
        [True, False, False],
    ]
    inside = found.holds(CLASSES, likely, np.array([1, 1, 0]))
    assert inside.tolist() == [[True], [False], [True]]


@settings(max_examples=30, deadline=None)
@given(
    coverage=st.sampled_from([0.5, 0.8, 0.9]),
    rows=st.integers(20, 80),
    seed=st.integers(0, 10_000),
    several=st.booleans(),
)
def test_it_holds_for_new_rows_whatever_the_model(
    coverage: float, rows: int, seed: int, several: bool
) -> None:
    """By chance alone: over many draws the mean share is at least what was asked for."""
    generator = np.random.default_rng(seed)
    shape = (400, rows + 50, *((2,) if several else ()))
    kind = KINDS["multitarget"] if several else VALUES
    errors = generator.standard_cauchy(shape)  # no model has worse ones
    shares = []
    for each in errors:
        found = Conformal.of(kind, np.zeros_like(each[:rows]), each[:rows], coverage)
        assert found is not None
        shares.append(found.holds(kind, np.zeros_like(each[rows:]), each[rows:]).mean(0))
    mean, error = np.mean(shares, 0), np.std(shares, 0) / np.sqrt(len(shares))
    assert (mean > coverage - 4 * error).all()
    assert (mean < coverage + 1 / (rows + 1) + 4 * error).all()


def test_the_share_that_is_held_has_an_interval() -> None:
    found = Conformal(0.9, (1.0,), 100)
    truth = torch.tensor([0.0] * 90 + [5.0] * 10)
    (one,) = held(found, "regression", np.zeros(100, dtype=np.float32), truth)
    assert (one.share, one.size) == (0.9, 2.0)
    assert one.interval == pytest.approx((0.8256, 0.9448), abs=1e-3)  # Wilson's, from its paper
    groups = torch.arange(100) // 10  # those outside are one group: ten draws, not a hundred
    (grouped,) = held(found, "regression", np.zeros(100, dtype=np.float32), truth, groups)
    assert grouped.interval[0] < one.interval[0]
    assert grouped.interval[1] == 1.0


@pytest.mark.parametrize(
    ("kind", "coverage", "rows", "said"),
    [
        ("multilabel", 0.9, 1000, "for a multilabel task; it is for binary, multiclass"),
        ("sequence", 0.9, 1000, "for a sequence task"),
        ("regression", 0.99, 98, r"it takes at least 99: .*coverage=0.98 or less"),
    ],
)
def test_what_cannot_be_is_refused(kind: str, coverage: float, rows: int, said: str) -> None:
    refuse_coverage(VALUES, coverage, 10_000)
    with pytest.raises(TaskError, match=said):
        refuse_coverage(KINDS[kind], coverage, rows)  # type: ignore[index]


@pytest.mark.parametrize("regression", [False, True])
def test_a_campaign_delivers_and_checks_them(tmp_path: Path, regression: bool) -> None:
    table = frame(400, regression=regression)
    development, test = table[:300], table[300:]
    result = pawl.optimize(
        development, target="target", test=test, trials=1, epochs=4, families=["nets"],
        coverage=0.8, out=tmp_path / "out",
    )  # fmt: skip
    (told,) = summary_of(tmp_path / "out")["parts"]["coverage"]["targets"]
    bundle = Bundle.open(tmp_path / "out")
    predicted = bundle.predict(test.drop(columns="target"))
    assert isinstance(predicted, pd.DataFrame)
    truth = test["target"].to_numpy()
    if regression:
        inside = (predicted["low"] <= truth) & (truth <= predicted["high"])
        size = predicted["high"] - predicted["low"]
        assert (size - size.iloc[0]).abs().max() < 1e-4
    else:
        names = [name.removeprefix("in_") for name in predicted if str(name).startswith("in_")]
        assert names == list(bundle.schema.classes)
        inside = np.array([predicted[f"in_{value}"].iloc[at] for at, value in enumerate(truth)])
        size = predicted[[f"in_{name}" for name in names]].sum(axis=1)
        assert size.min() >= 1
    assert told["held"] == pytest.approx(inside.mean())
    assert told["size"] == pytest.approx(size.mean(), rel=1e-3)
    assert inside.mean() > 0.65  # of 100 rows: four deviations below what was asked for
    assert "How sure predictions are" in result.report.read_text()


def test_wrong_coverages_are_one_line(tmp_path: Path) -> None:
    for wrong in (0.2, 1.0, "much"):
        with pytest.raises(PawlError, match="coverage"):
            pawl.optimize(frame(100), target="target", coverage=wrong, out=tmp_path / "out")
    with pytest.raises(TaskError, match="rows to learn it by"):
        pawl.optimize(frame(60), target="target", coverage=0.99, trials=1, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
