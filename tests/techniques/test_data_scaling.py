"""What bends each number of a row, against NumPy, SciPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import ndtri
from sklearn.preprocessing import PowerTransformer
from torch import Tensor

from pawl.data.types import Examples
from pawl.models import Curves, Front
from pawl.models.curves import bent
from pawl.techniques import Split, technique


def fitted(name: str, train: Tensor, rows: Tensor, **settings: object) -> Tensor:
    """Returns rows behind the layers that were fitted on training rows."""
    one = technique(name)
    split = Split(Examples({"x": train}, torch.zeros(len(train))), torch.arange(len(train)), ())
    layers = one.apply(split, one.settings(**settings)).layers
    return Front(layers)({"x": rows})["x"]


def skewed(rows: int = 300) -> Tensor:
    generator = np.random.default_rng(0)
    one = generator.lognormal(size=rows) * 1e4
    two = -(generator.exponential(size=rows) ** 2) + 7
    three = np.where(generator.random(rows) < 0.6, 0.0, generator.gamma(2.0, size=rows))
    return torch.tensor(np.stack([one, two, three, np.full(rows, 3.0)], 1), dtype=torch.float32)


def test_curves_are_numpys_interpolation() -> None:
    generator = np.random.default_rng(1)
    at = np.sort(generator.normal(size=(3, 8)), axis=1)
    at[2, 4:] = at[2, 3]  # four knots that are not needed
    to = np.cumsum(generator.random((3, 8)), axis=1)
    to[2, 4:] = to[2, 3]
    layer = Curves("x", torch.from_numpy(at).float(), torch.from_numpy(to).float())
    x = torch.from_numpy(np.vstack([generator.normal(size=(50, 3)) * 2, at.T])).float()
    found = layer({"x": x})["x"].numpy()
    for column in range(3):
        end = 4 if column == 2 else 8
        wanted = np.interp(x[:, column].numpy(), at[column, :end], to[column, :end])
        np.testing.assert_allclose(found[:, column], wanted, rtol=1e-4, atol=1e-5)
    one = Curves("x", torch.from_numpy(at[:1]).float(), torch.from_numpy(to[:1]).float())
    assert torch.equal(one({"x": x[:, 0]})["x"], one({"x": x[:, :1]})["x"][:, 0])


def test_few_values_get_the_normal_scores_of_their_ranks() -> None:
    train = skewed(60)
    found = fitted("quantile_normal", train, train, knots=64).numpy()
    for column, values in zip(found.T, train.numpy().T, strict=True):
        wanted = ndtri((stats.rankdata(values) - 0.5) / 60)
        np.testing.assert_allclose(column, wanted, atol=1e-4)


def test_many_values_become_normal() -> None:
    train = skewed(4000)
    found = fitted("quantile_normal", train, train).numpy()
    for column in (0, 1):
        assert stats.kstest(found[:, column], "norm").statistic < 0.02
    zeros = train[:, 2].numpy() == 0
    assert len(np.unique(found[zeros, 2])) == 1
    np.testing.assert_allclose(found[zeros, 2][0], ndtri(zeros.mean() / 2), atol=0.1)
    assert np.all(found[:, 3] == 0)
    # Far out counts as the end.
    ends = fitted("quantile_normal", train, torch.tensor([[1e9, 1e9, 1e9, 1e9]]))
    np.testing.assert_allclose(ends[0, :3], found[:, :3].max(0), rtol=1e-5)


@pytest.mark.parametrize("power", [-2.0, 0.0, 1e-4, 0.5, 1.0, 2.0, 3.0])
def test_powers_are_scipys(power: float) -> None:
    x = np.linspace(-3, 3, 61)
    found = bent(torch.from_numpy(x), torch.tensor(power, dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), stats.yeojohnson(x, power), rtol=1e-5, atol=1e-6)


def test_powers_are_chosen_as_scikit_learn_does() -> None:
    train = skewed()[:, :3]
    scaled = (train - train.mean(0)) / train.std(0, correction=0)
    wanted = PowerTransformer().fit_transform(scaled.double().numpy())
    found = fitted("power_transform", train, train).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=5e-3)
    assert np.abs(stats.skew(found[:, 0])) < 0.4 < np.abs(stats.skew(train[:, 0].numpy()))
    with_constant = fitted("power_transform", skewed(), skewed())
    assert bool((with_constant[:, 3] == 0).all())
