"""Combiners: weights that are never worse than the best model where they are chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from torch import Tensor

from pawl.ensembling import COMBINERS, Combiner, greedy, linear, mean
from pawl.ensembling.combiners import Loss, Score


def scored(truth: Tensor) -> Score:
    """Returns minus the squared error, the mean over passes and rows."""
    return lambda p: -((p - truth) ** 2).double().mean((-1, -2))


def lost(truth: Tensor) -> Loss:
    """Returns the squared error of predictions `[F, R]`."""
    return lambda p: ((p - truth) ** 2).mean()


def made(models: int, rows: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=rows)
    spread = generator.uniform(0.2, 1.5, size=(models, 1))
    shared = 0.3 * generator.normal(size=rows)
    found = truth + shared + spread * generator.normal(size=(models, rows))
    order = ((found - truth) ** 2).mean(1).argsort()
    return torch.from_numpy(found[order]).unsqueeze(1), torch.from_numpy(truth)


@pytest.mark.parametrize("combiner", COMBINERS.values(), ids=list(COMBINERS))
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(5, 60), st.integers(1, 8), st.integers(0, 10**6))
def test_weights_are_shares_of_few_models_and_no_worse_than_the_best(
    combiner: Combiner, models: int, rows: int, most: int, seed: int
) -> None:
    predictions, truth = made(models, rows, seed)
    score = scored(truth)
    weights = combiner(predictions, score, lost(truth), most)
    assert weights.shape == (models,)
    assert float(weights.sum()) == pytest.approx(1.0)
    assert bool((weights >= 0).all())
    assert int((weights > 0).sum()) <= most
    blend = torch.tensordot(weights.double(), predictions, dims=1)
    best = float(score(predictions).max())
    assert float(score(blend)) >= best - 1e-5 * abs(best)
    assert torch.equal(weights, combiner(predictions, score, lost(truth), most))


@pytest.mark.parametrize("combiner", [greedy, linear])
def test_the_best_weights_there_are_come_near(combiner: Combiner) -> None:
    predictions, truth = made(5, 400, seed=3)
    weights = combiner(predictions, scored(truth), lost(truth), 5).double()
    one = 1e4 * np.ones((1, 5))  # weights that sum to one
    exact, _ = nnls(np.vstack([predictions[:, 0].T.numpy(), one]), np.append(truth.numpy(), 1e4))
    mine = float(((torch.tensordot(weights, predictions, dims=1) - truth) ** 2).mean())
    least = float(((predictions[:, 0].T @ torch.from_numpy(exact) - truth) ** 2).mean())
    assert least <= mine <= 1.02 * least


def test_errors_that_nearly_cancel_in_the_mean_are_blended() -> None:
    truth = torch.from_numpy(np.random.default_rng(0).normal(size=60))
    error = torch.from_numpy(np.random.default_rng(1).normal(size=60))
    predictions = torch.stack(
        [truth + off * error for off in (1.0, -1.1, 1.3, -1.4, 2.0)]
    ).unsqueeze(1)
    score, loss = scored(truth), lost(truth)
    weights = linear(predictions, score, loss, 5).double()
    equal = float(loss(predictions.mean(0)))
    assert float(loss(torch.tensordot(weights, predictions, dims=1))) <= 1.01 * equal
    assert equal < 0.2 * float(loss(predictions[0]))


def test_a_model_that_predicts_nonsense_gets_no_weight() -> None:
    predictions, truth = made(3, 50, seed=1)
    predictions[1] = torch.nan
    for combiner in (greedy, mean, linear):
        weights = combiner(predictions, scored(truth), lost(truth), 3)
        assert float(weights[1]) == 0.0 or combiner is mean
        assert bool(weights.isfinite().all())


def test_equal_models_share_nothing() -> None:
    predictions = torch.ones(4, 1, 10)
    for combiner in (greedy, mean):
        weights = combiner(predictions, scored(torch.zeros(10)), lost(torch.zeros(10)), 4)
        assert weights.tolist() == [1.0, 0.0, 0.0, 0.0]
