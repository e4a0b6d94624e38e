"""Orders in which columns join, spread better than random ones."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_CANDIDATES, _MOST_TRIPLES = 32, 512


@lru_cache(maxsize=64)
def spread_orders(count: int, number: int) -> NDArray[np.int64]:
    """Returns at which step each of `count` columns joins in `number` orders, `[number, count]`.

    An order and the same backward tell right what two columns do together, and what three do if each
    of the three is in the middle equally often. So each order is the one of some random ones that does
    most for this, given those before it. Columns have to be named at random, as the first order is
    always the same; then each order is as likely as any other.

    Example:
        >>> sorted(spread_orders(3, 3).argsort(1)[:, 1].tolist())  # who is in the middle
        [0, 1, 2]
    """
    generator = np.random.default_rng(0)
    found = np.arange(count)[None]
    if math.comb(count, 3) <= _MOST_TRIPLES:
        triples = np.array(list(itertools.combinations(range(count), 3)), dtype=np.int64)
    else:
        triples = generator.permuted(np.repeat(found, _MOST_TRIPLES, 0), axis=1)[:, :3]
    triples = triples.reshape(-1, 3)
    times, rows = np.zeros((len(triples), 3)), np.arange(len(triples))
    while True:
        times[rows, _middle(found[-1:], triples)[0]] += 1
        if len(found) == number:
            found.flags.writeable = False
            return found
        tried = generator.permuted(np.repeat(found[:1], _CANDIDATES, 0), axis=1)
        best = times[rows, _middle(tried, triples)].sum(1).argmin()
        found = np.concatenate([found, tried[best : best + 1]])


def _middle(orders: NDArray[np.int64], triples: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns which of three columns, 0 to 2, joins between the others, `[orders, triples]`."""
    one, two, three = (orders[:, triples[:, place]] for place in range(3))
    first, second = (one > two) != (one > three), (two > one) != (two > three)
    return np.where(first, 0, np.where(second, 1, 2))
