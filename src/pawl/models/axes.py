"""Where the axes of a tensor are after it was reshaped, permuted, reduced or indexed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from pawl.models.operations import Operation, Trace

Shape = tuple[int, ...]
Moved = dict[int, tuple[int, int]]
"""For each axis that is still there its place, and how many neighbors stand for one of its entries."""


_FIRST = (_ConvNd, _NormBase, nn.GroupNorm)
"""Layers whose channels lie along axis 1; those of others lie along the last."""
_LAST = (nn.Linear, nn.LayerNorm, nn.RMSNorm, nn.MultiheadAttention, nn.Embedding, nn.RNNBase)


def channel_axis(trace: Trace, number: int) -> int | None:
    """Returns along which axis a tensor's channels lie, from the layer that it comes from.

    `-1` for the last; `None` if no such layer is found, or operations on the way are not known.
    """
    axis = _axis(trace, {out: op for op in trace.operations for out in op.outputs}, number, {})
    return -1 if axis is not None and axis == len(trace.shapes[number]) - 1 else axis


def _axis(
    trace: Trace, makers: Mapping[int, Operation], number: int, known: dict[int, int | None]
) -> int | None:
    """Returns the axis, counted from the first; of what is added, of the first that has one."""
    if number not in known:
        op, after = makers.get(number), trace.shapes[number]
        known[number] = None
        if op is None:
            return None
        if isinstance(op.layer, _FIRST + _LAST):
            if number == op.outputs[0]:
                known[number] = 1 if isinstance(op.layer, _FIRST) else len(after) - 1
            return known[number]
        alike = [each for each in op.inputs if trace.shapes[each] == after]
        for taken in alike or op.inputs[:1]:
            axis, before = _axis(trace, makers, taken, known), trace.shapes[taken]
            places = None if axis is None else moved(op, before, after)
            if axis is None:
                continue
            if places is None:  # it treats places along other axes, or each number
                stays = len(before) == len(after) and before[axis] == after[axis]
                known[number] = axis if stays else None
            elif places.get(axis, (0, 0))[1] == 1:
                known[number] = places[axis][0]
            break
    return known[number]


def moved(op: Operation, before: Shape, after: Shape) -> Moved | None:
    """Returns where axes are behind a function that moves them; `None` if it is no such function.

    Axes that are merged in another way, that are reduced, or of which a part is taken, are left out.
    """
    rule = _RULES.get(op.name)
    return None if rule is None else rule(op, before, after)


def reshaped(before: Shape, after: Shape) -> Moved:
    """Returns where axes are behind `view`, `flatten`, `squeeze` and the like, by shapes alone.

    An axis keeps its place if as many numbers lie in front of it; those behind it may be merged into
    it.
    """
    found: Moved = {}
    for axis, size in enumerate(before):
        merged = [math.prod(before[axis + 1 : end]) for end in range(axis + 1, len(before) + 1)]
        for place, length in enumerate(after):
            ahead = math.prod(after[:place]) == math.prod(before[:axis])
            if ahead and length and length % size == 0 and length // size in merged:
                found[axis] = place, length // size
                break
    return found


def _reshaped(op: Operation, before: Shape, after: Shape) -> Moved:
    del op
    return reshaped(before, after)


def _permuted(op: Operation, before: Shape, after: Shape) -> Moved:
    del after
    given = list(op.args[1:]) + list(op.kwargs.values())
    if len(given) == 1 and not isinstance(given[0], int):
        given = list(given[0])
    order = [axis % len(before) for axis in given]
    return {axis: (place, 1) for place, axis in enumerate(order)}


def _transposed(op: Operation, before: Shape, after: Shape) -> Moved:
    del after
    one, other = (axis % len(before) for axis in (*op.args[1:], *op.kwargs.values()))
    order = list(range(len(before)))
    order[one], order[other] = other, one
    return {axis: (place, 1) for place, axis in enumerate(order)}


def _expanded(op: Operation, before: Shape, after: Shape) -> Moved:
    del op
    more = len(after) - len(before)
    return {
        axis: (axis + more, 1) for axis, size in enumerate(before) if size == after[axis + more]
    }


def _movedim(op: Operation, before: Shape, after: Shape) -> Moved:
    del after
    one, other = (axis % len(before) for axis in (*op.args[1:], *op.kwargs.values()))
    order = [axis for axis in range(len(before)) if axis != one]
    order.insert(other, one)
    return {axis: (place, 1) for place, axis in enumerate(order)}


def _reduced(op: Operation, before: Shape, after: Shape) -> Moved:
    rank = len(before)
    given = op.kwargs.get("dim", op.args[1] if len(op.args) > 1 else None)
    over = range(rank) if given is None else [given] if isinstance(given, int) else given
    gone = {axis % rank for axis in over}
    kept = len(after) == rank
    return {
        axis: (axis if kept else axis - sum(each < axis for each in gone), 1)
        for axis in range(rank)
        if axis not in gone
    }


def _indexed(op: Operation, before: Shape, after: Shape) -> Moved:
    del after
    index: tuple[Any, ...] = op.args[1] if isinstance(op.args[1], tuple) else (op.args[1],)
    if not all(each is None or each is ... or isinstance(each, int | slice) for each in index):
        return {}
    rank, whole = len(before), slice(None)
    if ... not in index:
        index = (*index, ...)
    at = index.index(...)
    named = sum(each is not None and each is not ... for each in index)
    index = (*index[:at], *[whole] * (rank - named), *index[at + 1 :])
    found: Moved = {}
    axis = place = 0
    for each in index:
        if each is None:
            place += 1
            continue
        if each == whole:
            found[axis] = place, 1
        axis += 1
        place += not isinstance(each, int)
    return found


_RULES: dict[str, Callable[[Operation, Shape, Shape], Moved]] = {
    **dict.fromkeys(
        ("view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten", "Flatten"), _reshaped
    ),
    "permute": _permuted,
    **dict.fromkeys(("transpose", "swapaxes"), _transposed),
    "movedim": _movedim,
    "expand": _expanded,
    **dict.fromkeys(("mean", "sum", "amax"), _reduced),
    "__getitem__": _indexed,
}
