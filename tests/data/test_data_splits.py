"""Splits: exact sizes for every seed, and stratification."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pawl.data import split_rows
from pawl.errors import DataError

SEEDS = st.integers(0, 2**31)


def size_of(num_rows, share):
    return min(max(round(share * num_rows), 1), num_rows - 1)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=150),
    st.floats(0.01, 0.5),
    SEEDS,
    SEEDS,
)
def test_classes(targets, share, seed, other):
    targets = torch.tensor(targets)
    num_rows, num_classes = len(targets), int(targets.unique().numel())
    size = size_of(num_rows, share)
    counts = targets.bincount(minlength=7)
    if int((counts - (counts > 1).long()).sum()) < size:
        with pytest.raises(DataError, match="too few"):
            split_rows(targets, "multiclass", share, seed)
        return
    rest, held = split_rows(targets, "multiclass", share, seed)
    assert (len(held), len(rest)) == (size, num_rows - size)
    assert sorted(rest.tolist() + held.tolist()) == list(range(num_rows))
    assert rest.tolist() == sorted(rest.tolist())
    assert held.tolist() == sorted(held.tolist())
    in_rest, in_held = (targets[rows].bincount(minlength=7) for rows in (rest, held))
    assert (in_rest[counts >= 2] >= 1).all()
    if size >= num_classes:
        assert (in_held[counts >= 2] >= 1).all()
    # How many rows each class gives does not depend on the seed.
    again = split_rows(targets, "multiclass", share, other)[1]
    assert torch.equal(targets[again].bincount(minlength=7), in_held)
    assert torch.equal(held, split_rows(targets, "multiclass", share, seed)[1])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=150),
    st.floats(0.01, 0.99),
    SEEDS,
)
def test_regression(targets, share, seed):
    targets = torch.tensor(targets, dtype=torch.float32)
    rest, held = split_rows(targets, "regression", share, seed)
    assert len(held) == size_of(len(targets), share)
    assert sorted(rest.tolist() + held.tolist()) == list(range(len(targets)))


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, 99), min_size=2), SEEDS)
def test_a_subset_of_rows(subset, seed):
    rows = torch.tensor(sorted(subset))
    targets = torch.arange(100) % 2
    rest, held = split_rows(targets, "binary", 0.3, seed, rows=rows)
    assert set(rest.tolist()) | set(held.tolist()) == subset
    assert len(rest) + len(held) == len(subset)


def test_proportions_are_kept():
    targets = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    for seed in range(5):
        _, held = split_rows(targets, "multiclass", 0.2, seed)
        assert targets[held].bincount().tolist() == [180, 18, 2]


def test_regression_covers_the_range():
    targets = torch.arange(100.0).exp()
    for seed in range(20):
        _, held = split_rows(targets, "regression", 0.2, seed)
        assert (held // 10).bincount(minlength=10).tolist() == [2] * 10


def test_every_row_is_held_out_by_some_seed():
    targets = torch.arange(30) % 3
    seen = {row for seed in range(60) for row in split_rows(targets, "multiclass", 0.2, seed)[1]}
    assert {int(row) for row in seen} == set(range(30))


def test_rare_classes():
    rest, held = split_rows(torch.tensor([0] * 98 + [1] * 2), "binary", 0.2, 0)
    assert (len(rest), len(held)) == (80, 20)
    assert (held >= 98).sum() == 1
    rest, _ = split_rows(torch.tensor([0] * 99 + [1]), "binary", 0.2, 0)
    assert 99 in rest.tolist()


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, 2.0])
def test_bad_shares(share):
    with pytest.raises(DataError, match="between 0 and 1"):
        split_rows(torch.zeros(10).long(), "binary", share, 0)


def test_too_few_rows():
    with pytest.raises(DataError, match=r"got 1 row\(s\)"):
        split_rows(torch.zeros(1).long(), "binary", 0.5, 0)
    with pytest.raises(DataError, match="too few"):
        split_rows(torch.arange(20) // 2, "multiclass", 0.9, 0)
