"""Sums of trees, explained from their own arrays: exact Shapley values, splits and gain.

The Shapley values are those of `shapley`, of the trees' sum and without sampling: a leaf is reached by a
set of columns exactly if all its conditions hold, each by the row or by the background row, whichever
has the column. Of a leaf of value `v` that needs the row's values of `p` columns and the background's of
`q`, each of the first gets `v (p-1)! q! / (p+q)!`, each of the others `-v p! (q-1)! / (p+q)!`
(interventional TreeSHAP; Lundberg et al., From Local Explanations to Global Understanding, 2020).

Shape legend: `R` rows, `M` background rows, `D` numbers of a row, `F` columns, `L` leaves, `C`
conditions on the ways to them, `T` trees, `O` outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawl.models import Trees

Floats = NDArray[np.float64]
Numbers = NDArray[np.float32]
Whole = NDArray[np.int64]
_AT_ONCE = 2**22
_FEW_COLUMNS, _MOST_COLUMNS = 14, 62
"""On one way to a leaf: so many bits has a small whole number, and a large one."""


@dataclass(frozen=True)
class Paths:
    """All ways from roots to leaves.

    Attributes:
        leaves: Nodes that are leaves, `[L]`.
        leaf: Of which leaf a condition is, `[C]`, ascending; then by column.
        node: The node that asks, `[C]`.
        right: Whether the way goes right there, `[C]`.
        column: Of which column that is, `[C]`.
    """

    leaves: Whole
    leaf: Whole
    node: Whole
    right: NDArray[np.bool_]
    column: Whole


def paths_of(trees: Trees, owners: Whole) -> Paths:
    """Returns the ways to leaves; `owners` says of which column each number of a row is, `[D]`."""
    feature, left, _ = _nodes(trees)
    parent, is_right = _parents(left)
    leaves = np.flatnonzero(left == np.arange(len(left)))
    parts: list[tuple[Whole, Whole, NDArray[np.bool_]]] = []
    at, who = leaves, np.arange(len(leaves))
    while len(at):
        below = parent[at] >= 0
        at, who = at[below], who[below]
        parts.append((who, parent[at], is_right[at]))
        at = parent[at]
    leaf, node, right = (np.concatenate([part[place] for part in parts]) for place in range(3))
    column = owners[feature[node]]
    order = np.lexsort((column, leaf))
    return Paths(leaves, leaf[order], node[order], right[order], column[order])


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
    paths, values = paths_of(trees, owners), _leaf_values(trees)
    found = np.zeros((len(x), columns, values.shape[1]))
    step = max(1, _AT_ONCE // (len(x) * len(background)))
    bounds = np.searchsorted(paths.leaf, np.arange(len(paths.leaves) + 1))
    for start in range(0, len(paths.leaves), step):
        stop = min(start + step, len(paths.leaves))
        own = slice(bounds[start], bounds[stop])
        if bounds[start] == bounds[stop]:
            continue
        leaf, first = paths.leaf[own] - start, np.empty(own.stop - own.start, dtype=bool)
        first[0] = True
        first[1:] = (np.diff(leaf) > 0) | (np.diff(paths.column[own]) > 0)
        slots = np.flatnonzero(first)
        slot_leaf, slot_column = leaf[slots], paths.column[own][slots]
        place = (
            np.arange(len(slots)) - np.searchsorted(slot_leaf, np.arange(stop - start))[slot_leaf]
        )
        width = int(place.max()) + 1
        if width > _MOST_COLUMNS:
            raise ValueError(f"a way to a leaf asks for more than {_MOST_COLUMNS} columns")
        held, others = (
            _bits(trees, paths, own, slots, slot_leaf, place, stop - start, each)
            for each in (x, background)
        )
        columns_of = np.zeros((stop - start, width), dtype=np.int64)
        columns_of[slot_leaf, place] = slot_column
        sizes = np.bincount(slot_leaf, minlength=stop - start)
        shared = _shared(held, others, sizes, width)
        for who, row, parts in shared:
            for output in range(values.shape[1]):
                weighed = parts * values[start + who, output, None]
                index = row[:, None] * columns + columns_of[who]
                found[..., output] += np.bincount(
                    index.ravel(), weighed.ravel(), len(x) * columns
                ).reshape(len(x), columns)
    return found / len(background)


def _bits(
    trees: Trees,
    paths: Paths,
    own: slice,
    slots: Whole,
    slot_leaf: Whole,
    place: Whole,
    leaves: int,
    x: Numbers,
) -> Whole:
    """Returns which columns of a way hold for rows, as bits of a number, `[L, R]`."""
    feature, _, threshold = _nodes(trees)
    node = paths.node[own]
    goes_right = x.T[feature[node]] > threshold[node, None]  # a gap goes left, as in the model
    holds = np.logical_and.reduceat(goes_right == paths.right[own, None], slots, axis=0)
    kind = np.int16 if place.max() < _FEW_COLUMNS else np.int64  # small numbers are read faster
    found = np.zeros((leaves, len(x)), dtype=kind)
    first = np.flatnonzero(place == 0)
    found[slot_leaf[first]] = np.bitwise_or.reduceat(
        holds.astype(kind) << place[:, None].astype(kind), first, axis=0
    )
    return found


def _shared(
    rows: Whole, others: Whole, sizes: Whole, width: int
) -> Iterator[tuple[Whole, Whole, Floats]]:
    """Yields leaves, rows and the parts of their columns, `[pairs]` and `[pairs, width]`."""
    plus, minus = _tables(width)
    full = ((1 << sizes.astype(np.int64)) - 1).astype(rows.dtype)
    reached = (rows[:, :, None] | others[:, None, :]) == full[:, None, None]
    leaf, row, other = np.nonzero(reached)
    ours, theirs = rows[leaf, row], others[leaf, other]
    places = np.arange(width, dtype=rows.dtype)
    step = max(1, _AT_ONCE // width)
    for start in range(0, len(leaf), step):
        a, b = ours[start : start + step, None], theirs[start : start + step, None]
        mine = ((a & ~b) >> places) & 1
        theirs_only = ((b & ~a) >> places) & 1
        p, q = mine.sum(1), theirs_only.sum(1)
        parts = mine * plus[p, q, None] - theirs_only * minus[p, q, None]
        yield leaf[start : start + step], row[start : start + step], parts


def _tables(width: int) -> tuple[Floats, Floats]:
    """Returns what one of `p` columns gets, and loses one of `q`, each `[p, q]`."""
    plus, minus = np.zeros((2, width + 1, width + 1))
    for p in range(width + 1):
        for q in range(width + 1 - p):
            if p:
                plus[p, q] = 1.0 / (p * math.comb(p + q, p))
            if q:
                minus[p, q] = 1.0 / (q * math.comb(p + q, q))
    return plus, minus


def split_counts(trees: Trees, owners: Whole, columns: int) -> Whole:
    """Returns how many splits are by each column, `[F]`."""
    feature, left, _ = _nodes(trees)
    inner = left != np.arange(len(left))
    return np.bincount(owners[feature[inner]], minlength=columns)


def gains(trees: Trees, owners: Whole, columns: int, x: Numbers) -> Floats:
    """Returns how far apart each column's splits set what trees say of rows, `[F]`.

    Of a split `n_l n_r / (n_l + n_r) (v_l - v_r)^2`, with the number of rows on either side and the mean
    that the tree says of them; summed over splits and outputs.
    """
    feature, left, threshold = _nodes(trees)
    parent, _ = _parents(left)
    values = _leaf_values(trees)
    place_of = np.zeros(len(left), dtype=np.int64)
    leaves = np.flatnonzero(left == np.arange(len(left)))
    place_of[leaves] = np.arange(len(leaves))
    counts, sums = np.zeros(len(left)), np.zeros((len(left), values.shape[1]))
    for root in trees.roots.numpy():
        at = np.full(len(x), root, dtype=np.int64)
        while (inner := left[at] != at).any():
            rows = np.flatnonzero(inner)
            asked = at[rows]
            at[rows] = left[asked] + (x[rows, feature[asked]] > threshold[asked])
        counts += np.bincount(at, minlength=len(left))
    for output in range(values.shape[1]):
        sums[leaves, output] = counts[leaves] * values[place_of[leaves], output]
    for depth_nodes in _levels(left, trees.roots.numpy().astype(np.int64))[:0:-1]:
        np.add.at(counts, parent[depth_nodes], counts[depth_nodes])
        np.add.at(sums, parent[depth_nodes], sums[depth_nodes])
    inner = np.flatnonzero(left != np.arange(len(left)))
    first, second = counts[left[inner]], counts[left[inner] + 1]
    both = first + second
    means = [
        sums[child] / np.maximum(number, 1)[:, None]
        for child, number in ((left[inner], first), (left[inner] + 1, second))
    ]
    gained = first * second / np.maximum(both, 1) * ((means[0] - means[1]) ** 2).sum(1)
    found: Floats = np.bincount(owners[feature[inner]], gained, columns).astype(np.float64)
    return found


def _levels(left: Whole, roots: Whole) -> list[Whole]:
    """Returns the nodes of each depth, roots first."""
    level, found = roots, []
    while len(level):
        found.append(level)
        inner = level[left[level] != level]
        level = np.concatenate([left[inner], left[inner] + 1])
    return found


def _nodes(trees: Trees) -> tuple[Whole, Whole, Numbers]:
    nodes = trees.nodes.numpy().astype(np.int64)
    return nodes[:, 0], nodes[:, 1], trees.thresholds.numpy()


def _leaf_values(trees: Trees) -> Floats:
    """Returns what leaves add, in the order of their nodes, `[L, O]`."""
    nodes = trees.nodes.numpy()
    leaves = nodes[nodes[:, 1] == np.arange(len(nodes)), 2]
    found: Floats = trees.values.numpy().astype(np.float64)[leaves]
    return found


def _parents(left: Whole) -> tuple[Whole, NDArray[np.bool_]]:
    """Returns each node's parent, -1 of roots, and whether it is the right child."""
    inner = np.flatnonzero(left != np.arange(len(left)))
    parent, right = np.full(len(left), -1, dtype=np.int64), np.zeros(len(left), dtype=bool)
    parent[left[inner]], parent[left[inner] + 1] = inner, inner
    right[left[inner] + 1] = True
    return parent, right
