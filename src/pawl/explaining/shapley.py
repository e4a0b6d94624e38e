"""Shapley values of rows, from evaluations of the model alone.

The value of a set of columns `S` is the mean prediction where they have the row's values and the others
those of background rows, `v(S) = mean_b f(x_S, b)`. A column's Shapley value is what it adds to `v`, the
mean over all orders in which columns join; the values of a row sum to `f(x) - mean_b f(b)`. Columns are
replaced one without the other, whatever their correlation, so that rows may be asked that never occur.

Each background row is a game of its own, whose players are the columns in which the row differs from it:
a column with the same value in both adds nothing, whatever the model. That leaves so few sets that all
of them can often be evaluated where columns are categories, or mostly 0.

Shape legend: `F` columns, `R` rows, `M` background rows, `G` games, `n` players (columns that differ),
`O` outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from pawl.data.types import Inputs
from pawl.explaining.estimate import Estimate, over_background
from pawl.explaining.mixing import Mixer
from pawl.explaining.orders import spread_orders
from pawl.explaining.subject import Feature, Subject, Values, count_of


@dataclass(frozen=True)
class _Games:
    """Games of as many players, and the sets of these whose values are asked for.

    No players and all of them are not asked for: these are the background row and the row itself.

    Attributes:
        numbers: As a mixer counts games, `[G]`.
        players: The columns that differ, `[G, n]`.
        joined: At which step a column joins in each order, `[G, orders, n]`; `None` for all sets.
    """

    numbers: NDArray[np.int64]
    players: NDArray[np.int64]
    joined: NDArray[np.int64] | None

    def masks(self, columns: int) -> NDArray[np.bool_]:
        """Returns which columns are as in the row, `[G, sets, F]`."""
        games, count = self.players.shape
        if self.joined is None:
            sets = _subsets(count)[None, 1:-1]
        else:
            steps = np.arange(1, count)[:, None]
            sets = (self.joined[:, :, None, :] < steps).reshape(games, -1, count)
        found = np.zeros((games, sets.shape[1], columns), dtype=bool)
        where = np.broadcast_to(self.players[:, None, :], (games, sets.shape[1], count))
        np.put_along_axis(found, where, np.broadcast_to(sets, where.shape), axis=2)
        return found

    def added(self, values: Values, none: Values, every: Values) -> tuple[Values, Values]:
        """Returns what players add, `[G, n, O]`, and means by how many are in, `[G, n + 1, O]`.

        Args:
            values: Of the sets, `[G, sets, O]`.
            none: Of the background rows, `[G, O]`.
            every: Of the rows, `[G, O]`.
        """
        games, count = self.players.shape
        outputs = values.shape[2]
        if not count:  # the row and the background row are the same
            return np.zeros((games, 0, outputs)), every[:, None]
        if self.joined is not None:
            inner = values.reshape(games, -1, count - 1, outputs)
            shape = (*inner.shape[:2], 1, outputs)
            low, high = (np.broadcast_to(x[:, None, None], shape) for x in (none, every))
            paths = np.concatenate([low, inner, high], 2)
            steps = np.diff(paths, axis=2)  # what the column that joined added
            each = np.take_along_axis(steps, self.joined[..., None], axis=2)
            return each.mean(1), paths.mean(1)
        values = np.concatenate([none[:, None], values, every[:, None]], 1)
        sizes = _subsets(count).sum(1)
        of_size = (sizes == np.arange(count + 1)[:, None]) * 1.0
        means = (of_size / of_size.sum(1, keepdims=True)) @ values
        weights = np.array([1 / (count * math.comb(count - 1, size)) for size in range(count)])
        found = np.empty((games, count, outputs))
        for player in range(count):
            # Sets are counted in binary, the first player being the lowest digit: differences in
            # pairs, so that what a model does not use is 0 to the digit.
            pairs = values.reshape(games, -1, 2, 2**player, outputs)
            without = weights[sizes.reshape(-1, 2, 2**player)[:, 0]]
            found[:, player] = np.einsum("ab,gabo->go", without, pairs[:, :, 1] - pairs[:, :, 0])
        return found, means


def exact(
    subject: Subject, features: Sequence[Feature], rows: Inputs, background: Inputs
) -> list[Estimate]:
    """Returns Shapley values by all sets of the columns that differ; `sets_of` tells how many.

    Errors are those of the background rows as a sample.

    Args:
        subject: What is explained.
        features: `F` columns.
        rows: `R` rows, evaluated together.
        background: `M` rows.
    """
    mixer = Mixer(features, rows, background)
    apart = mixer.apart()
    return _estimates(subject, mixer, _games(apart, np.arange(apart.shape[1])))


def sampled(
    subject: Subject,
    features: Sequence[Feature],
    rows: Inputs,
    background: Inputs,
    pairs: int,
    seed: int,
) -> list[Estimate]:
    """Returns Shapley values by random orders and the same backward, shared among background rows.

    Castro, Gomez and Tejada 2009; antithetic pairs: Mitchell et al. 2022. A pair is exact but for what
    three columns or more do together, and orders of the same background row are spread so that they
    have little left of what three do. Where all sets are no more than the orders would ask for, they
    are taken in their place.

    Args:
        subject: What is explained.
        features: `F` columns.
        rows: `R` rows, evaluated together.
        background: `M` rows; of fewer pairs than these, so many of them, evenly spread.
        pairs: How many orders are drawn for a row.
        seed: Of the orders.
    """
    mixer = Mixer(features, rows, background)
    apart = mixer.apart()
    count = apart.shape[1]
    used = min(pairs, count)
    turns = ((np.arange(used) + 0.5) * count / used).astype(np.int64)
    each = max(1, pairs // used)
    return _estimates(subject, mixer, _games(apart, turns, each, np.random.default_rng(seed)))


def sets_of(features: Sequence[Feature], rows: Inputs, background: Inputs) -> Values:
    """Returns how many sets there are of the columns that differ, `sum_b 2^n_b`, `[R]`.

    `exact` takes no more evaluations.
    """
    found: Values = (2.0 ** Mixer(features, rows, background).apart().sum(2)).sum(1)
    return found


def _games(
    apart: NDArray[np.bool_],
    turns: NDArray[np.int64],
    pairs: int = 0,
    generator: np.random.Generator | None = None,
) -> list[_Games]:
    """Returns the games of background rows `turns`, by how many columns differ `apart`, `[R, M, F]`.

    With a generator, of so many pairs of orders, unless all sets are no more than these would take.
    """
    rows, background, columns = apart.shape
    numbers = (np.arange(rows)[:, None] * background + turns).ravel()
    flat = apart.reshape(-1, columns)[numbers]
    counts = flat.sum(1)
    found: list[_Games] = []
    for count in np.unique(counts).tolist():
        own = counts == count
        players = np.nonzero(flat[own])[1].reshape(own.sum(), count)
        joined = None
        if generator is not None and 2.0**count > 2 * pairs * (count + 1):
            named = generator.permuted(np.tile(np.arange(count), (len(players), 1)), axis=1)
            forward = np.moveaxis(spread_orders(count, pairs)[:, named], 0, 1)
            joined = np.concatenate([forward, count - 1 - forward], 1)
        found.append(_Games(numbers[own], players, joined))
    return found


def _estimates(subject: Subject, mixer: Mixer, games: Sequence[_Games]) -> list[Estimate]:
    """Returns each row's mean over its games."""
    columns, background = len(mixer.features), count_of(mixer.background)
    numbers = np.sort(np.concatenate([each.numbers for each in games]))
    used = np.unique(numbers % background)
    rows, place = np.arange(count_of(mixer.own)), np.zeros(background, dtype=np.int64)
    place[used] = np.arange(len(used))
    masks = [each.masks(columns) for each in games]
    asked = [
        used, rows * background,
        *(np.repeat(each.numbers, own.shape[1]) for each, own in zip(games, masks, strict=True)),
    ]  # fmt: skip
    ends = np.zeros((len(used), columns), dtype=bool), np.ones((len(rows), columns), dtype=bool)
    found = mixer.values(
        subject,
        np.concatenate(asked),
        np.concatenate([*ends, *(m.reshape(-1, columns) for m in masks)]),
    )
    none, every, *inner = np.split(found, np.cumsum([len(part) for part in asked])[:-1])
    outputs = found.shape[1]
    parts = np.zeros((len(rows) * background, columns, outputs))
    path = np.zeros((len(rows), columns + 1, outputs))
    evaluations = np.full(len(rows), len(used) + 1)
    for each, own, values in zip(games, masks, inner, strict=True):
        who, turns = np.divmod(each.numbers, background)
        added, means = each.added(
            values.reshape(len(own), own.shape[1], outputs), none[place[turns]], every[who]
        )
        full = np.zeros((len(own), columns, outputs))
        np.put_along_axis(full, each.players[..., None], added, axis=1)
        parts[each.numbers] = full
        np.add.at(path, who, _among(columns, each.players.shape[1]) @ means / len(used))
        np.add.at(evaluations, who, own.shape[1])
    chosen = parts.reshape(len(rows), background, columns, outputs)[:, used]
    return [
        over_background(chosen[row], path[row], int(evaluations[row])) for row in range(len(rows))
    ]


@lru_cache(maxsize=32)
def _subsets(count: int) -> NDArray[np.bool_]:
    """Returns all sets, `[2^n, n]`."""
    sets: NDArray[np.bool_] = (np.arange(2**count)[:, None] >> np.arange(count)) & 1 > 0
    sets.flags.writeable = False
    return sets


@lru_cache(maxsize=256)
def _among(columns: int, players: int) -> Values:
    """Returns how likely `j` players are among `k` columns drawn, `[F + 1, n + 1]`."""
    k, j = np.arange(columns + 1)[:, None], np.arange(players + 1)
    others = k - j
    there = (others >= 0) & (others <= columns - players)
    kept = np.where(there, others, 0)
    ways = _log_ways(players, j) + _log_ways(columns - players, kept) - _log_ways(columns, k)
    found: Values = np.where(there, np.exp(ways), 0.0)
    return found


def _log_ways(of: int, chosen: NDArray[np.int64]) -> Values:
    """Returns the logarithm of the number of ways to choose so many."""
    found: Values = gammaln(of + 1) - gammaln(chosen + 1) - gammaln(of - chosen + 1)
    return found


def spread_rows(values: Values, count: int) -> NDArray[np.int64]:
    """Returns rows that lie evenly among all in the order of a value `[R]`: their mean is near it."""
    order = np.argsort(values, kind="stable")
    if len(order) <= count:
        return order.astype(np.int64)
    return order[((np.arange(count) + 0.5) * len(order) / count).astype(np.int64)].astype(np.int64)
