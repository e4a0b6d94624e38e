"""Shapley values of rows, from evaluations of the model alone.

The value of a set of columns `S` is the mean prediction where they have the row's values and the others
those of background rows, `v(S) = mean_b f(x_S, b)`. A column's Shapley value is what it adds to `v`, the
mean over all orders in which columns join; the values of a row sum to `f(x) - mean_b f(b)`. Columns are
replaced one without the other, whatever their correlation, so that rows may be asked that never occur.

Shape legend: `F` columns, `M` background rows, `P` pairs of orders, `O` outputs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pawl.data.types import Inputs
from pawl.explaining.subject import Feature, Subject, Values, count_of, taken

MOST_EXACT = 10
"""Columns up to which all sets are evaluated."""


@dataclass(frozen=True)
class Estimate:
    """Shapley values of one row.

    Attributes:
        values: `[F, O]`.
        errors: Standard errors, `[F, O]`.
        halves: Two estimates that share nothing but the row, `[2, F, O]`.
        path: Mean prediction with `k` columns as in the row, in random orders, `[F + 1, O]`.
    """

    values: Values
    errors: Values
    halves: Values
    path: Values


def exact(
    subject: Subject, features: Sequence[Feature], row: Inputs, background: Inputs
) -> Estimate:
    """Returns Shapley values by all `2^F` sets, each with every background row.

    Errors are those of the background rows as a sample.

    Args:
        subject: What is explained.
        features: `F` columns.
        row: One row.
        background: `M` rows.
    """
    count, rows = len(features), count_of(background)
    sets = np.array(list(itertools.product((False, True), repeat=count)))
    masks = np.repeat(sets, rows, axis=0)
    found = _evaluated(
        subject, features, row, background, np.tile(np.arange(rows), len(sets)), masks
    )
    values = found.reshape(len(sets), rows, -1)
    sizes = sets.sum(1)
    weights = np.array(
        [1.0 / (count * math.comb(count - 1, size)) for size in range(count)] + [0.0]
    )
    each = np.empty((count, rows, values.shape[-1]))
    for place in range(count):
        # Sets are counted in binary with the first column as the highest digit.
        without = np.flatnonzero(~sets[:, place])
        added = values[without + 2 ** (count - 1 - place)] - values[without]
        each[place] = np.tensordot(weights[sizes[without]], added, axes=1)
    path = np.stack([values[sizes == size].mean((0, 1)) for size in range(count + 1)])
    return _estimate(each, path)


def sampled(
    subject: Subject,
    features: Sequence[Feature],
    row: Inputs,
    background: Inputs,
    pairs: int,
    seed: int,
) -> Estimate:
    """Returns Shapley values by random orders and the same orders backward.

    Castro, Gomez and Tejada 2009; antithetic pairs: Mitchell et al. 2022. Background rows take turns, so
    that each counts equally where `pairs` is a multiple of their number.

    Args:
        subject: What is explained.
        features: `F` columns.
        row: One row.
        background: `M` rows.
        pairs: How many orders are drawn.
        seed: Of the orders.
    """
    count, rows = len(features), count_of(background)
    generator = np.random.default_rng(seed)
    orders = np.stack([generator.permutation(count) for _ in range(pairs)])
    orders = np.stack([orders, orders[:, ::-1]], 1)  # [P, 2, F]
    joined = np.argsort(orders, -1)  # at which step a column joins
    masks = joined[:, :, None, :] < np.arange(count + 1)[:, None]  # [P, 2, F + 1, F]
    turns = np.repeat(np.arange(pairs) % rows, 2 * (count + 1))
    found = _evaluated(subject, features, row, background, turns, masks.reshape(-1, count))
    values = found.reshape(pairs, 2, count + 1, -1)
    steps = np.diff(values, axis=2)  # what the column that joined added, [P, 2, F, O]
    added = np.take_along_axis(steps, joined[..., None], axis=2).mean(1)
    return _estimate(added.transpose(1, 0, 2), values.mean((0, 1)))


def _estimate(each: Values, path: Values) -> Estimate:
    """Returns the mean over samples of each column, `[F, samples, O]`."""
    count = each.shape[1]
    spread = each.std(1, ddof=1) if count > 1 else np.zeros_like(each[:, 0])
    halves = np.stack([each[:, part::2].mean(1) for part in (0, 1)]) if count > 1 else None
    values = each.mean(1)
    return Estimate(
        values,
        spread / math.sqrt(count),
        np.stack([values, values]) if halves is None else halves,
        path,
    )


def _evaluated(
    subject: Subject,
    features: Sequence[Feature],
    row: Inputs,
    background: Inputs,
    turns: NDArray[np.int64],
    masks: NDArray[np.bool_],
) -> Values:
    """Returns predictions of background rows with some columns of a row, `[samples, O]`."""
    mixed = taken(background, turns)
    own = {name: tensor.expand(len(turns), *tensor.shape[1:]) for name, tensor in row.items()}
    for place, feature in enumerate(features):
        feature.where(torch.from_numpy(masks[:, place]), mixed, own)
    return subject.values(mixed)


def spread_rows(values: Values, count: int) -> NDArray[np.int64]:
    """Returns rows that lie evenly among all in the order of a value `[R]`: their mean is near it."""
    order = np.argsort(values, kind="stable")
    if len(order) <= count:
        return order.astype(np.int64)
    return order[((np.arange(count) + 0.5) * len(order) / count).astype(np.int64)].astype(np.int64)
