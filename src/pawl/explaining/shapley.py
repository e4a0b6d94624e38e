"""Shapley values of rows, from evaluations of the model alone.

The value of a set of columns `S` is the mean prediction where they have the row's values and the others
those of background rows, `v(S) = mean_b f(x_S, b)`. A column's Shapley value is what it adds to `v`, the
mean over all orders in which columns join; the values of a row sum to `f(x) - mean_b f(b)`. Columns are
replaced one without the other, whatever their correlation, so that rows may be asked that never occur.

Each background row is a game of its own, whose players are the columns in which the row differs from it:
a column with the same value in both adds nothing, whatever the model. That leaves so few sets that all
of them can often be evaluated where columns are categories, or mostly 0.

Shape legend: `F` columns, `M` background rows, `n` columns that differ, `O` outputs.
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
from pawl.explaining.mixing import Mixer
from pawl.explaining.subject import Feature, Subject, Values


@dataclass(frozen=True)
class Estimate:
    """Shapley values of one row.

    Attributes:
        values: `[F, O]`.
        errors: Standard errors, `[F, O]`.
        halves: Two estimates that share nothing but the row, `[2, F, O]`.
        path: Mean prediction with `k` columns as in the row, in random orders, `[F + 1, O]`.
        evaluations: Of the model.
    """

    values: Values
    errors: Values
    halves: Values
    path: Values
    evaluations: int


@dataclass(frozen=True)
class _Games:
    """Background rows from which the row differs in equally many columns: `G` games of as many sets.

    Attributes:
        turns: The background rows, `[G]`.
        players: The columns that differ, `[G, n]`.
        joined: At which step a column joins in each order, `[G, orders, n]`; `None` for all sets.
    """

    turns: NDArray[np.int64]
    players: NDArray[np.int64]
    joined: NDArray[np.int64] | None

    def masks(self, columns: int) -> NDArray[np.bool_]:
        """Returns which columns are as in the row, `[G, sets, F]`."""
        games, count = self.players.shape
        if self.joined is None:
            sets = _subsets(count)[None]
        else:
            steps = np.arange(count + 1)[:, None]
            sets = (self.joined[:, :, None, :] < steps).reshape(games, -1, count)
        found = np.zeros((games, sets.shape[1], columns), dtype=bool)
        where = np.broadcast_to(self.players[:, None, :], (games, sets.shape[1], count))
        np.put_along_axis(found, where, np.broadcast_to(sets, where.shape), axis=2)
        return found

    def added(self, values: Values) -> tuple[Values, Values]:
        """Returns what players add, `[G, n, O]`, and means by how many are in, `[G, n + 1, O]`.

        Args:
            values: Of all sets, `[G, sets, O]`.
        """
        games, count = self.players.shape
        outputs = values.shape[2]
        if self.joined is not None:
            paths = values.reshape(games, -1, count + 1, outputs)
            steps = np.diff(paths, axis=2)  # what the column that joined added
            each = np.take_along_axis(steps, self.joined[..., None], axis=2)
            return each.mean(1), paths.mean(1)
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
    subject: Subject, features: Sequence[Feature], row: Inputs, background: Inputs
) -> Estimate:
    """Returns Shapley values by all sets of the columns that differ, `sum_b 2^n_b` evaluations.

    Errors are those of the background rows as a sample.

    Args:
        subject: What is explained.
        features: `F` columns.
        row: One row.
        background: `M` rows.
    """
    mixer = Mixer(features, row, background)
    apart = mixer.apart()
    return _estimate(subject, mixer, _games(apart, np.arange(len(apart))))


def sampled(
    subject: Subject,
    features: Sequence[Feature],
    row: Inputs,
    background: Inputs,
    pairs: int,
    seed: int,
) -> Estimate:
    """Returns Shapley values by random orders and the same backward, shared among background rows.

    Castro, Gomez and Tejada 2009; antithetic pairs: Mitchell et al. 2022. A pair is exact but for what
    four columns or more do together. Where all sets are no more than the orders would ask for, they are
    taken in their place.

    Args:
        subject: What is explained.
        features: `F` columns.
        row: One row.
        background: `M` rows; of fewer pairs than these, so many of them, evenly spread.
        pairs: How many orders are drawn.
        seed: Of the orders.
    """
    mixer = Mixer(features, row, background)
    apart = mixer.apart()
    used = min(pairs, len(apart))
    turns = ((np.arange(used) + 0.5) * len(apart) / used).astype(np.int64)
    each = max(1, pairs // used)
    games = _games(apart, turns, each, np.random.default_rng(seed))
    return _estimate(subject, mixer, games)


def sets_of(features: Sequence[Feature], row: Inputs, background: Inputs) -> float:
    """Returns how many evaluations `exact` would take."""
    return float((2.0 ** Mixer(features, row, background).apart().sum(1)).sum())


def _games(
    apart: NDArray[np.bool_],
    turns: NDArray[np.int64],
    pairs: int = 0,
    generator: np.random.Generator | None = None,
) -> list[_Games]:
    """Returns the games of background rows `turns`, by how many columns differ `apart`, `[M, F]`.

    With a generator, of so many pairs of orders, unless all sets are no more than these would take.
    """
    counts = apart[turns].sum(1)
    found: list[_Games] = []
    for count in np.unique(counts).tolist():
        own = turns[counts == count]
        players = np.nonzero(apart[own])[1].reshape(len(own), count)
        joined = None
        if generator is not None and 2.0**count > 2 * pairs * (count + 1):
            orders = np.tile(np.arange(count), (len(own), pairs, 1))
            orders = generator.permuted(orders, axis=2)
            joined = np.argsort(np.concatenate([orders, orders[:, :, ::-1]], 1), -1)
        found.append(_Games(own, players, joined))
    return found


def _estimate(subject: Subject, mixer: Mixer, games: Sequence[_Games]) -> Estimate:
    """Returns the mean over games."""
    columns = len(mixer.features)
    masks = [each.masks(columns) for each in games]
    sizes = [len(own) * own.shape[1] for own in masks]
    turns = np.concatenate(
        [np.repeat(each.turns, own.shape[1]) for each, own in zip(games, masks, strict=True)]
    )
    found = mixer.values(
        subject, turns, np.concatenate([own.reshape(-1, columns) for own in masks])
    )
    order = np.argsort(np.concatenate([each.turns for each in games]), kind="stable")
    count = len(order)
    parts: list[Values] = []
    path = np.zeros((columns + 1, found.shape[1]))
    for each, own, values in zip(games, masks, np.split(found, np.cumsum(sizes)[:-1]), strict=True):
        added, means = each.added(values.reshape(len(own), own.shape[1], -1))
        full = np.zeros((len(own), columns, found.shape[1]))
        np.put_along_axis(full, each.players[..., None], added, axis=1)
        parts.append(full)
        path += _among(columns, each.players.shape[1]) @ means.sum(0) / count
    every = np.concatenate(parts)[order].transpose(1, 0, 2)  # as the background rows lie
    spread = every.std(1, ddof=1) if count > 1 else np.zeros_like(every[:, 0])
    values = every.mean(1)
    halves = [every[:, part::2].mean(1) if count > 1 else values for part in (0, 1)]
    return Estimate(values, spread / math.sqrt(count), np.stack(halves), path, len(found))


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
