"""Exact Shapley values of sums of trees, from their own arrays.

They are those of `shapley`, of the trees' sum and without sampling: a leaf is reached by a set of
columns exactly if all conditions on its way hold, each by the row or by the background row, whichever
has the column. So it can be reached if no column is broken by both. Where the background row breaks `p`
columns and the row `q` others, a leaf of value `v` gives each of the first `v (p-1)! q! / (p+q)!`, each
of the others `-v p! (q-1)! / (p+q)!` (interventional TreeSHAP; Lundberg et al., From Local Explanations
to Global Understanding, 2020).

All that counts of a row at a leaf is which columns of the way it breaks. Where there are few such sets
for the rows there are, a leaf's parts are computed for each set at once, over all background rows, and
looked up (as in Nadel and Wettenstein, From Decision Trees to Boolean Logic, 2026); else for each pair
of rows.

Shape legend: `R` rows, `M` background rows, `D` numbers of a row, `F` columns, `L` leaves, `n` columns
on the way to a leaf, `O` outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawl.explaining.tree_gains import Floats, Numbers, Whole, leaf_values, nodes_of
from pawl.models import Trees

_AT_ONCE = 2**22
_MOST_COLUMNS = 62
"""On one way to a leaf: so many bits has a whole number."""
_TABLE = 4
"""A number of a leaf's table costs as much as this share of a pair of rows: one in so many."""


@dataclass(frozen=True)
class Leaves:
    """Leaves, the columns on their ways, and which of these rows break.

    Attributes:
        nodes: The leaves, `[L]`.
        sizes: How many columns are on the way, `[L]`.
        columns: Which; as many as the longest way has, `[L, n]`.
        broken: The bits of the columns that do not hold for a row, `[L, R]`.
    """

    nodes: Whole
    sizes: Whole
    columns: Whole
    broken: Whole


def shapley_values(
    trees: Trees, owners: Whole, columns: int, x: Numbers, background: Numbers
) -> Floats:
    """Returns exact Shapley values of what trees add up to, `[R, F, O]`.

    They sum to `trees(x) - mean trees(background)`.

    Args:
        trees: The trees.
        owners: Of which column each number is, `[D]`.
        columns: `F`.
        x: Rows, `[R, D]`.
        background: `[M, D]`.

    Raises:
        ValueError: A way to a leaf asks for more than 62 columns.
    """
    rows, values = np.concatenate([x, background]), leaf_values(trees)
    place_of = np.cumsum(_is_leaf(trees)) - 1
    found = np.zeros((len(x), columns, values.shape[1]))
    roots = trees.roots.numpy().astype(np.int64)
    each = max(1, _AT_ONCE * len(roots) // (len(place_of) * len(rows)))
    for start in range(0, len(roots), each):
        leaves = leaves_of(trees, owners, roots[start : start + each], rows)
        for own, parts in _parts(leaves, len(x)):
            value = values[place_of[leaves.nodes[own]]]
            index = (
                np.arange(len(x))[:, None] * columns + leaves.columns[own, None, : parts.shape[2]]
            )
            for output in range(values.shape[1]):
                weighed = parts * value[:, None, output, None]
                found[..., output] += np.bincount(
                    index.ravel(), weighed.ravel(), len(x) * columns
                ).reshape(len(x), columns)
    return found / len(background)


def leaves_of(trees: Trees, owners: Whole, roots: Whole, x: Numbers) -> Leaves:
    """Returns the leaves below some roots, level by level.

    Raises:
        ValueError: A way asks for more than 62 columns.
    """
    feature, left, threshold = nodes_of(trees)
    by_number = np.ascontiguousarray(x.T)
    kind = np.int32 if owners.max(initial=0) < 31 else np.int64  # small numbers are read faster
    at, sizes = roots, np.zeros(len(roots), dtype=np.int64)
    columns = np.zeros((len(roots), 0), dtype=np.int64)
    broken: Whole = np.zeros((len(roots), len(x)), dtype=kind)
    found: list[tuple[Whole, Whole, Whole, Whole]] = []
    while True:
        ends = left[at] == at
        found.append((at[ends], sizes[ends], columns[ends], broken[ends]))
        at, sizes, columns, broken = at[~ends], sizes[~ends], columns[~ends], broken[~ends]
        if not len(at):
            break
        column, nodes = owners[feature[at]], np.arange(len(at))
        columns = np.pad(columns[:, : sizes.max()], ((0, 0), (0, 1)))
        known = (columns == column[:, None]) & (np.arange(columns.shape[1]) < sizes[:, None])
        place = np.where(known.any(1), known.argmax(1), sizes)
        columns[nodes, place] = column
        sizes = np.maximum(sizes, place + 1)
        if sizes.max() > _MOST_COLUMNS:
            raise ValueError(f"a way to a leaf asks for more than {_MOST_COLUMNS} columns")
        right = by_number[feature[at]] > threshold[at, None]  # a gap goes left, as in the model
        bit = np.left_shift(1, place).astype(kind)[:, None]
        broken = np.concatenate([broken | right * bit, broken | ~right * bit])
        at, sizes = np.concatenate([left[at], left[at] + 1]), np.tile(sizes, 2)
        columns = np.tile(columns, (2, 1))
    width = max(part[2].shape[1] for part in found)
    wide = [np.pad(part[2], ((0, 0), (0, width - part[2].shape[1]))) for part in found]
    nodes, sizes, broken = (np.concatenate([part[i] for part in found]) for i in (0, 1, 3))
    return Leaves(nodes, sizes, np.concatenate(wide), broken)


def _parts(leaves: Leaves, rows: int) -> Iterator[tuple[Whole, Floats]]:
    """Yields leaves and what each column of their ways gets of 1, for the first rows, `[L, R, n]`.

    It is summed over the other rows, which are the background.
    """
    pairs = rows * (leaves.broken.shape[1] - rows)
    for size in np.unique(leaves.sizes).tolist():
        every = np.flatnonzero(leaves.sizes == size)
        tabled = 2**size * size <= _TABLE * pairs
        step = max(1, _AT_ONCE // max(1, rows * size, 2**size * size if tabled else pairs))
        for start in range(0, len(every) if size else 0, step):
            own = every[start : start + step]
            ours, others = leaves.broken[own, :rows], leaves.broken[own, rows:]
            if tabled:
                yield own, _table(others, size)[np.arange(len(own))[:, None], ours]
            else:
                yield own, _by_pairs(ours, others, size)


def _table(others: Whole, size: int) -> Floats:
    """Returns the parts of columns for all sets that a row may break, `[L, 2^n, n]`.

    `(p-1)! q! / (p+q)!` is the integral of `t^(p-1) (1-t)^q` from 0 to 1. A Gauss-Legendre rule is
    exact for that, and of one point `t` the background rows that break nothing but columns that the
    row keeps are summed over subsets, one column after the other.
    """
    sets, count = 2**size, len(others)
    index = others.astype(np.int64) * count + np.arange(count)[:, None]
    times = np.bincount(index.ravel(), minlength=sets * count).reshape(sets, count)
    broken = ((np.arange(sets)[:, None] >> np.arange(size)) & 1).sum(1, keepdims=True)
    every, lost, fewer = np.zeros((3, sets, count))
    points, weights = np.polynomial.legendre.leggauss((size + 1) // 2)
    for t, weight in zip((points + 1) / 2, weights / 2, strict=True):
        within = times * t**broken
        for place in range(size):
            halves = within.reshape(-1, 2, 2**place, count)
            halves[:, 1] += halves[:, 0]
        # What a row keeps is all but what it breaks: in binary, the same backward.
        kept = within[::-1] * (weight * (1 - t) ** broken / t)
        every += kept
        lost += kept * (t / (1 - t))
        fewer += kept / (1 - t)
    found = np.empty((count, sets, size))
    every, lost, fewer = (np.ascontiguousarray(x.T) for x in (every, lost, fewer))
    for place in range(size):
        shape = (count, -1, 2, 2**place)
        own = found[:, :, place].reshape(shape)
        own[:, :, 0] = every.reshape(shape)[:, :, 0] - fewer.reshape(shape)[:, :, 1]
        own[:, :, 1] = -lost.reshape(shape)[:, :, 1]
    return found


def _by_pairs(ours: Whole, others: Whole, size: int) -> Floats:
    """Returns the parts of columns for rows, from each of the background rows, `[L, R, n]`."""
    plus, minus = _shares(size)
    leaf, row, other = np.nonzero((ours[:, :, None] & others[:, None, :]) == 0)
    places = np.arange(size)
    found = np.zeros((*ours.shape, size))
    step = max(1, _AT_ONCE // size)
    for start in range(0, len(leaf), step):
        who, which, whose = (x[start : start + step] for x in (leaf, row, other))
        mine, theirs = ((a[:, None] >> places) & 1 for a in (ours[who, which], others[who, whose]))
        p, q = theirs.sum(1), mine.sum(1)
        np.add.at(found, (who, which), theirs * plus[p, q, None] - mine * minus[p, q, None])
    return found


def _shares(width: int) -> tuple[Floats, Floats]:
    """Returns what one of `p` columns gets, and one of `q` loses, each `[p, q]`."""
    plus, minus = np.zeros((2, width + 1, width + 1))
    for p in range(width + 1):
        for q in range(width + 1 - p):
            if p:
                plus[p, q] = 1.0 / (p * math.comb(p + q, p))
            if q:
                minus[p, q] = 1.0 / (q * math.comb(p + q, q))
    return plus, minus


def _is_leaf(trees: Trees) -> NDArray[np.bool_]:
    _, left, _ = nodes_of(trees)
    found: NDArray[np.bool_] = left == np.arange(len(left))
    return found
