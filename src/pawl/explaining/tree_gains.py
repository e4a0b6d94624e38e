"""Sums of trees: which columns they split by, and what that sets apart.

Shape legend: `R` rows, `D` numbers of a row, `F` columns, `O` outputs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pawl.models import Trees

Floats = NDArray[np.float64]
Numbers = NDArray[np.float32]
Whole = NDArray[np.int64]


def split_counts(trees: Trees, owners: Whole, columns: int) -> Whole:
    """Returns how many splits are by each column, `[F]`."""
    feature, left, _ = nodes_of(trees)
    inner = left != np.arange(len(left))
    return np.bincount(owners[feature[inner]], minlength=columns)


def gains(trees: Trees, owners: Whole, columns: int, x: Numbers) -> Floats:
    """Returns how far apart each column's splits set what trees say of rows, `[F]`.

    Of a split `n_l n_r / (n_l + n_r) (v_l - v_r)^2`, with the number of rows on either side and the mean
    that the tree says of them; summed over splits and outputs.
    """
    feature, left, threshold = nodes_of(trees)
    parent, _ = _parents(left)
    values = leaf_values(trees)
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


def nodes_of(trees: Trees) -> tuple[Whole, Whole, Numbers]:
    """Returns at which number nodes look, their left child, and the threshold, `[nodes]` each."""
    nodes = trees.nodes.numpy().astype(np.int64)
    return nodes[:, 0], nodes[:, 1], trees.thresholds.numpy()


def leaf_values(trees: Trees) -> Floats:
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
