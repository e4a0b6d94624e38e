"""The encoding of numbers by bins."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from problems import plain, problem

from pawl.models import TabularNet
from pawl.techniques import technique
from pawl.techniques.architecture.piecewise_linear import bin_edges

VALUES = st.floats(-1e6, 1e6, width=32)


@given(arrays(np.float64, st.integers(1, 60), elements=VALUES), st.sampled_from([8, 16, 32]))
def test_bin_edges_rise_from_the_smallest_to_the_largest(values: np.ndarray, bins: int) -> None:
    edges = bin_edges(values, bins)
    assert 1 <= len(edges) <= bins + 1
    assert (np.diff(edges) > 0).all()
    assert edges[0] == np.float32(values.min())
    assert edges[-1] == np.float32(values.max())


def test_a_column_that_is_mostly_zero_keeps_bins_for_the_rest() -> None:
    edges = bin_edges(np.r_[np.zeros(950), np.arange(1.0, 51.0)], 16)
    assert (edges > 0).sum() > 8


@given(st.integers(0, 3))
def test_numbers_reach_into_their_bins_in_order(seed: int) -> None:
    one = problem("table")
    rows = torch.arange(96)
    recipe = plain(piecewise_linear={"bins": 8}, width={"factor": 0.5}, depth={"layers": 3})
    front, body, _ = one.build(recipe, seed, rows)
    assert isinstance(body, TabularNet)
    numbers = front(one.examples.inputs)["numeric"]
    encoded = body.encoders["numeric"](numbers).view(*numbers.shape, 8)
    assert ((encoded >= 0) & (encoded <= 1)).all()
    assert (encoded[..., 1:] <= encoded[..., :-1]).all()  # a bin is entered when all below are full
    for column in range(2):  # two numbers; behind them comes the flag of a gap
        order = numbers[:, column].argsort()
        assert (encoded[order, column].sum(-1).diff() >= -1e-5).all()
    assert body(front(one.examples.inputs)).isfinite().all()


def test_it_is_for_tables_of_few_numbers() -> None:
    fits = technique("piecewise_linear").fits
    facts = problem("table").facts()
    assert fits(facts) is None
    wide = {**facts.sample, "numeric": torch.zeros(4, 300)}
    assert "300 numbers" in str(fits(dataclasses.replace(facts, sample=wide)))
    assert "no numeric" in str(fits(problem("codes").facts()))
    assert "builds for tables" in str(fits(problem("images").facts()))
