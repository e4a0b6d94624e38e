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
class _Game:
    """One background row: which sets of the columns that differ are evaluated, and what they say.

    Attributes:
        players: The columns, `[n]`.
        joined: At which step a column joins in each order, `[orders, n]`; `None` for all sets.
    """

    players: NDArray[np.int64]
    joined: NDArray[np.int64] | None

    @property
    def sets(self) -> NDArray[np.bool_]:
        """Which of the players are as in the row, `[sets, n]`."""
        count = len(self.players)
        if self.joined is None:
            return _subsets(count)
        steps = np.arange(count + 1)[None, :, None]
        found: NDArray[np.bool_] = (self.joined[:, None, :] < steps).reshape(-1, count)
        return found

    def added(self, values: Values) -> tuple[Values, Values]:
        """Returns what players add, `[n, O]`, and means by how many are in, `[n + 1, O]`."""
        count = len(self.players)
        if self.joined is not None:
            paths = values.reshape(len(self.joined), count + 1, -1)
            steps = np.diff(paths, axis=1)  # what the column that joined added
            return np.take_along_axis(steps, self.joined[..., None], axis=1).mean(0), paths.mean(0)
        sizes = _subsets(count).sum(1)
        totals = np.zeros((count + 1, values.shape[1]))
        np.add.at(totals, sizes, values)
        number = np.array([math.comb(count, size) for size in range(count + 1)])
        weights = np.array([1 / (count * math.comb(count - 1, size)) for size in range(count)])
        found = np.empty((count, values.shape[1]))
        for player in range(count):
            # Sets are counted in binary, the first player being the lowest digit: differences in
            # pairs, so that what a model does not use is 0 to the digit.
            pairs = values.reshape(-1, 2, 2**player, values.shape[1])
            without = sizes.reshape(-1, 2, 2**player)[:, 0]
            found[player] = np.tensordot(weights[without], pairs[:, 1] - pairs[:, 0], axes=2)
        return found, totals / number[:, None]


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
    games = [_Game(np.flatnonzero(apart), None) for apart in mixer.apart()]
    return _estimate(subject, mixer, games, np.arange(len(games)))


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
    generator = np.random.default_rng(seed)
    games = [_drawn(np.flatnonzero(apart[turn]), each, generator) for turn in turns]
    return _estimate(subject, mixer, games, turns)


def sets_of(features: Sequence[Feature], row: Inputs, background: Inputs) -> float:
    """Returns how many evaluations `exact` would take."""
    return float((2.0 ** Mixer(features, row, background).apart().sum(1)).sum())


def _drawn(players: NDArray[np.int64], pairs: int, generator: np.random.Generator) -> _Game:
    count = len(players)
    orders = np.stack([generator.permutation(count) for _ in range(pairs)])
    if 2.0**count <= 2 * pairs * (count + 1):
        return _Game(players, None)
    return _Game(players, np.argsort(np.concatenate([orders, orders[:, ::-1]]), -1))


def _estimate(
    subject: Subject, mixer: Mixer, games: Sequence[_Game], turns: NDArray[np.int64]
) -> Estimate:
    """Returns the mean over games; `turns` says which background row each is about."""
    columns = len(mixer.features)
    sets = [game.sets for game in games]
    ends = np.cumsum([len(each) for each in sets])
    masks = np.zeros((int(ends[-1]), columns), dtype=bool)
    for game, own, end in zip(games, sets, ends, strict=True):
        masks[end - len(own) : end, game.players] = own
    found = mixer.values(subject, np.repeat(turns, [len(each) for each in sets]), masks)
    each = np.zeros((columns, len(games), found.shape[1]))
    path = np.zeros((columns + 1, found.shape[1]))
    for number, (game, values) in enumerate(zip(games, np.split(found, ends[:-1]), strict=True)):
        each[game.players, number], means = game.added(values)
        path += _among(columns, len(game.players)) @ means / len(games)
    count = len(games)
    spread = each.std(1, ddof=1) if count > 1 else np.zeros_like(each[:, 0])
    values = each.mean(1)
    halves = [each[:, part::2].mean(1) if count > 1 else values for part in (0, 1)]
    return Estimate(values, spread / math.sqrt(count), np.stack(halves), path, len(masks))


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
