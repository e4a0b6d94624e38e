"""Sums of decision trees as a module, and as the operator that ONNX Runtime has for them.

Shape legend: `B` rows, `D` numbers of a row, `T` trees, `M` nodes of all trees, `L` leaves, `O` outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

OPERATOR = "pawl::trees"
"""What an exporter calls the operator; `pawl.models.tree_graphs` writes it as ONNX Runtime has it."""


@dataclass(frozen=True)
class Tree:
    """A tree as libraries have it: arrays over its nodes, the root first.

    Attributes:
        feature: Which number of a row is looked at, `[M]`; of leaves, anything below 0.
        threshold: Rows at or below it go left, `[M]`.
        left: The node that they go to, `[M]`.
        right: The node that the others go to, `[M]`.
        value: What a leaf adds, `[M, O]`; of other nodes it is ignored.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]


class Trees(nn.Module):
    """The sum of what decision trees say, plus a constant: `[B, D]` float32 to `[B, O]`.

    `y = base + sum_t values[leaf_t(x)]`. A fresh one has a single leaf, of zeros.

    Args:
        outputs: `O`.

    Attributes:
        nodes: The number that a node looks at, its left child (the right one is the next), and its
            place among the values, `[M, 3]` int32. A leaf is its own left child.
        thresholds: Rows at or below it go left, `[M]`; infinite for a leaf.
        values: What leaves add, `[L, O]`.
        roots: `[T]` int32.
        base: `[O]`.
    """

    nodes: Tensor
    thresholds: Tensor
    values: Tensor
    roots: Tensor
    base: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.register_buffer("nodes", torch.zeros(1, 3, dtype=torch.int32))
        self.register_buffer("thresholds", torch.full((1,), torch.inf))
        self.register_buffer("values", torch.zeros(1, outputs))
        self.register_buffer("roots", torch.zeros(1, dtype=torch.int32))
        self.register_buffer("base", torch.zeros(outputs))

    def grow(self, trees: Sequence[Tree], base: Tensor) -> None:
        """Takes these trees in place of what there is.

        Args:
            trees: At least one.
            base: `[O]`.
        """
        nodes, thresholds, values, roots = _packed(trees)
        self.nodes = torch.from_numpy(nodes)
        self.thresholds = torch.from_numpy(thresholds)
        self.values = torch.from_numpy(values)
        self.roots = torch.from_numpy(roots)
        self.base = base.to(torch.float32).clone()

    def forward(self, x: Tensor) -> Tensor:
        """Adds up."""
        arrays = (self.nodes, self.thresholds, self.values, self.roots)
        if torch.compiler.is_exporting():
            shape = (x.shape[0], self.values.shape[1])
            total = torch.onnx.ops.symbolic(
                OPERATOR, (x, *arrays), dtype=torch.float32, shape=shape, version=1
            )
        else:
            given = (each.detach().cpu().numpy() for each in (x, *arrays))
            total = torch.from_numpy(_summed(*given)).to(x.device)
        return total + self.base


def _summed(
    x: NDArray[np.float32],
    nodes: NDArray[np.int32],
    thresholds: NDArray[np.float32],
    values: NDArray[np.float32],
    roots: NDArray[np.int32],
) -> NDArray[np.float32]:
    """Returns the sum over trees, `[B, O]`; tree by tree, whose nodes then stay in the cache."""
    feature, child, leaf = (np.ascontiguousarray(column) for column in nodes.T)
    flat = np.ascontiguousarray(x).reshape(-1)
    first = np.arange(len(x)) * x.shape[1]
    total = np.zeros((len(x), values.shape[1]), dtype=np.float32)
    for root in roots:
        at, start, rows = np.full(len(x), root), first, np.arange(len(x))
        ends = np.empty(len(x), dtype=np.int32)
        while len(rows):
            to = child.take(at) + (flat.take(start + feature.take(at)) > thresholds.take(at))
            walks = to != at
            ends[rows[~walks]] = at[~walks]
            at, start, rows = to[walks], start[walks], rows[walks]
        total += values[leaf[ends]]
    return total


def _packed(
    trees: Sequence[Tree],
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Returns nodes, thresholds, values of leaves, and roots; of each tree level by level.

    All trees are walked at once; children lie side by side, and what no root leads to is left out.
    """
    sizes = [len(tree.feature) for tree in trees]
    roots = np.cumsum([0, *sizes[:-1]])
    owner = np.repeat(np.arange(len(trees)), sizes)
    feature = np.concatenate([tree.feature for tree in trees])
    left = np.concatenate([tree.left for tree in trees]) + roots[owner]
    right = np.concatenate([tree.right for tree in trees]) + roots[owner]
    levels, level = [roots], roots
    while len(level := level[feature[level] >= 0]):
        level = np.stack([left[level], right[level]], axis=1).reshape(-1)
        levels.append(level)
    reached = np.concatenate(levels)
    reached = reached[np.argsort(owner[reached], kind="stable")]
    place = np.zeros(len(feature), dtype=np.int64)
    place[reached] = np.arange(len(reached))
    is_leaf = feature[reached] < 0
    leaves = reached[is_leaf]
    nodes = np.zeros((len(reached), 3), dtype=np.int32)
    nodes[:, 0] = np.where(is_leaf, 0, feature[reached])
    nodes[:, 1] = place[np.where(is_leaf, reached, left[reached])]
    nodes[is_leaf, 2] = np.arange(len(leaves))
    threshold = np.concatenate([tree.threshold for tree in trees])[reached]
    thresholds = np.where(is_leaf, np.float32(np.inf), rounded_down(threshold))
    values = np.concatenate([tree.value for tree in trees])[leaves]
    return (
        nodes, thresholds.astype(np.float32), values.astype(np.float32),
        place[roots].astype(np.int32),
    )  # fmt: skip


def rounded_down(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns the largest float32 not above each number: of float32 rows the same ones go left."""
    with np.errstate(over="ignore"):
        near = numbers.astype(np.float32)
    above = near.astype(np.float64) > numbers
    near[above] = np.nextafter(near[above], np.float32(-np.inf))
    return near
