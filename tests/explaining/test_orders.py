"""Orders that are spread: any is as likely, and of three columns each is in the middle as often."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pawl.explaining.orders import spread_orders


def uneven(orders: np.ndarray) -> float:
    """Returns the mean square of how much more than a third of the times a column is in the middle."""
    found = []
    for three in itertools.combinations(range(orders.shape[1]), 3):
        middle = orders[:, three].argsort(1)[:, 1]
        found.append(((np.bincount(middle, minlength=3) / len(orders) - 1 / 3) ** 2).sum())
    return float(np.mean(found))


@pytest.mark.parametrize(("count", "number"), [(3, 3), (7, 4), (11, 8), (40, 4)])
def test_they_are_more_even_than_random_ones(count: int, number: int) -> None:
    orders = spread_orders(count, number)
    assert (np.sort(orders, 1) == np.arange(count)).all()
    random = np.random.default_rng(1).permuted(np.tile(np.arange(count), (50, number, 1)), axis=2)
    bound = np.mean([uneven(each) for each in random[: 3 if count > 20 else 50]])
    assert uneven(orders) < (0.95 if count > 20 else 0.75) * bound


@pytest.mark.parametrize("count", [1, 2])
def test_of_few_columns_there_are_orders_as_well(count: int) -> None:
    assert spread_orders(count, 3).shape == (3, count)
