"""Weights that share few values: 4 bits each, which say where in a table of 16 it stands.

The file gets smaller, and nothing else: ONNX Runtime looks the weights up once, when the graph is
loaded, and computes as before (Han et al., Deep Compression, ICLR 2016).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from pawl.compression.candidate import Candidate
from pawl.compression.graphs import in_bytes, operators
from pawl.compression.operations import attributes
from pawl.compression.quantizing import integers_in
from pawl.compression.trainable import Leaf, Trainable, trained
from pawl.compression.work import Work
from pawl.deployment.export import predict

STEP = "shared weights"
SIZE_ALONE = "it gains size alone, which does not count here"
_RATE = 0.15
"""In steps of the 8 bits, so that all layers move alike."""
_VALUES = 16
_LEAST_ELEMENTS = 256
"""Shorter constants would save less than the nodes take that look them up."""
_ROUNDS = 50


def shared(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes matrices and kernels of 16 values each.

    Weights are whole numbers of 8 bits first, if they are not yet, with a scale for each unit; the 16
    are the means of clusters of these (k-means), each matrix having its own. Where that alone does not
    seem good enough on the rows for choices, weights are trained to move between these values.

    Args:
        work: Rows and measures.
        current: What it starts from.

    Returns:
        One candidate, which gains size alone, or why there is none.
    """
    if not work.goals.size:
        return SIZE_ALONE
    whole, _ = in_bytes(current.graph)
    model = onnx.load_from_string(whole)
    tables = {each.name: _Table(each) for each in model.graph.initializer if _Table.fits(each)}
    if not tables:
        return "the graph has no matrices or kernels that could share values"
    graph = _written(model, tables)
    ran, before = operators(graph), operators(current.graph)
    if ran.total() > before.total() or integers_in(ran) != integers_in(before):
        return (
            "ONNX Runtime would look the weights up in each call, or compute otherwise than before"
        )
    count = sum(table.codes.size for table in tables.values())
    facts, detail = {"shared": count}, f"{count:,} weights in 4 bits, by tables of {_VALUES} values"
    if not work.judge(predict(graph, work.choices)).passed:
        facts["steps"] = _learned(work, model, tables, onnx.load_from_string(current.graph))
        graph, detail = _written(model, tables), f"{detail}, trained to have these"
        judged = work.judge(predict(graph, work.choices))
        if not judged.passed:
            return (
                f"on the rows for choices weights of {_VALUES} values lose {judged.loss:.3g}, at most "
                f"{judged.at_most:.3g}, where {judged.allowed:.3g} is allowed"
            )
    return [replace(
        current, step=STEP, detail=f"{detail} (size alone)", graph=graph, facts=facts, is_exact=False,
        is_lossless=False,
    )]  # fmt: skip


def clusters(values: np.ndarray, count: int = _VALUES) -> tuple[np.ndarray, np.ndarray]:
    """Returns a table of values, and for each value the place of the nearest in it (k-means).

    Args:
        values: Whole numbers of 8 bits, of any shape.
        count: Entries of the table.

    Example:
        >>> table, codes = clusters(np.array([1, 1, 2, 90, 92], dtype=np.int8), 2)
        >>> table.tolist(), codes.tolist()
        ([1, 91], [0, 0, 0, 1, 1])
    """
    present, places, times = np.unique(values, return_inverse=True, return_counts=True)
    levels = present.astype(np.float64)
    middle = (np.arange(count) + 0.5) / count
    # Between places that hold equally many numbers and places that lie equally far apart.
    centers = 0.5 * (np.quantile(values, middle) + levels[0] + middle * (levels[-1] - levels[0]))
    for _ in range(_ROUNDS):
        nearest = np.abs(levels[:, None] - centers).argmin(1)
        total = np.bincount(nearest, times, count)
        sums = np.bincount(nearest, times * levels, count)
        moved = np.where(total > 0, sums / np.maximum(total, 1), centers)
        if np.array_equal(moved, centers):
            break
        centers = moved
    table = np.rint(centers).astype(np.int8)
    nearest = np.abs(levels[:, None] - table.astype(np.float64)).argmin(1)
    return table, nearest[places].reshape(values.shape)


class _Table:
    """A constant of whole numbers by its table."""

    def __init__(self, constant: TensorProto) -> None:
        self.name, self.dims = constant.name, tuple(constant.dims)
        self.values, self.codes = clusters(numpy_helper.to_array(constant))

    @staticmethod
    def fits(constant: TensorProto) -> bool:
        """Tells whether a constant is worth a table, and has its places in whole bytes."""
        size = int(np.prod(constant.dims))
        return constant.data_type == TensorProto.INT8 and size >= _LEAST_ELEMENTS and size % 2 == 0

    def nearest(self, steps: Tensor) -> Tensor:
        """Returns the places of the nearest values."""
        values = torch.from_numpy(self.values.astype(np.float32))
        return torch.bucketize(steps, (values[1:] + values[:-1]) / 2)

    def leaf(self, start: Tensor, scale: Tensor) -> Leaf:
        """Returns the weight as it was, and how the graph sees it."""
        values = torch.from_numpy(self.values.astype(np.float32))

        def seen(value: Tensor) -> Tensor:
            moved = values[self.nearest(value.detach())] - value.detach()
            return (value + moved) * scale

        return Leaf(start / scale, seen)

    def nodes(self) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
        """Returns nodes that make the constant, and what they make it of: two places in each byte."""
        low, high = self.codes.reshape(2, -1).astype(np.uint8)

        def own(part: str) -> str:
            return f"{self.name}_{part}"

        parts = {
            "codes": high * np.uint8(_VALUES) + low, "values": self.values,
            "sixteen": np.array(_VALUES, dtype=np.int32), "shape": np.array(self.dims, dtype=np.int64),
        }  # fmt: skip
        made = [
            helper.make_node("Cast", [own("codes")], [own("both")], to=TensorProto.INT32),
            helper.make_node("Mod", [own("both"), own("sixteen")], [own("low")]),
            helper.make_node("Div", [own("both"), own("sixteen")], [own("high")]),
            helper.make_node("Concat", [own("low"), own("high")], [own("places")], axis=0),
            helper.make_node("Gather", [own("values"), own("places")], [own("flat")]),
            helper.make_node("Reshape", [own("flat"), own("shape")], [self.name]),
        ]
        return made, [numpy_helper.from_array(v, own(part)) for part, v in parts.items()]


def _written(model: onnx.ModelProto, tables: dict[str, _Table]) -> bytes:
    """Returns a graph with tables in the place of constants."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:], made.graph.initializer[:]
    for each in tables.values():
        nodes, parts = each.nodes()
        made.graph.node.extend(nodes)
        made.graph.initializer.extend(parts)
    made.graph.node.extend(model.graph.node)
    made.graph.initializer.extend(
        each for each in model.graph.initializer if each.name not in tables
    )
    return bytes(made.SerializeToString())


@dataclass(frozen=True, eq=False)
class Whole:
    """A weight that is kept as whole numbers of 8 bits.

    Attributes:
        name: Of the tensor that the graph computes with: the whole numbers times their scale.
        constant: Of the whole numbers.
        start: What it was before it was rounded, where that is known.
        scale: What is multiplied by, in a shape that broadcasts.
    """

    name: str
    constant: str
    start: Tensor
    scale: Tensor


def whole_weights(
    model: onnx.ModelProto, names: Collection[str], before: onnx.ModelProto
) -> Iterator[Whole]:
    """Yields those of a graph's constants of whole numbers that are multiplied by a scale.

    Args:
        model: The graph.
        names: Of the constants.
        before: The graph in which they were no whole numbers yet, or the same.
    """
    held = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    floats = {
        each.name: numpy_helper.to_array(each)
        for each in before.graph.initializer
        if each.data_type in (TensorProto.FLOAT, TensorProto.DOUBLE)
    }
    casts = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "Cast" and node.input[0] in names
    }
    for node in model.graph.node:
        first = node.input[0] if node.input else ""
        if node.op_type == "DequantizeLinear" and first in names:
            constant, shape = first, [1] * held[first].ndim
            scale = torch.from_numpy(held[node.input[1]].copy())
            if scale.numel() > 1:
                shape[int(attributes(node).get("axis", 1))] = -1
            scale = scale.reshape(shape)
        elif node.op_type == "Mul" and first in casts:
            constant, scale = casts[first], torch.from_numpy(held[node.input[1]].copy())
        else:
            continue
        name = node.output[0]
        whole = torch.from_numpy(held[constant].copy()) * scale
        start = torch.from_numpy(floats[name].copy()) if name in floats else whole
        yield Whole(name, constant, start, scale)


def _learned(
    work: Work, model: onnx.ModelProto, tables: dict[str, _Table], before: onnx.ModelProto
) -> int:
    """Trains which values of their tables weights have; returns the steps taken.

    Raises:
        BundleError: The graph cannot be trained.
    """
    leaves, owners = dict[str, Leaf](), dict[str, _Table]()
    for each in whole_weights(model, set(tables), before):
        table = owners[each.name] = tables[each.constant]
        leaves[each.name] = table.leaf(each.start, each.scale)
    if not leaves:  # of weights that are put together of others
        return 0
    module = Trainable(model, leaves)
    steps = trained(work, module, _RATE)
    for name, value in module.values().items():
        owners[name].codes = owners[name].nearest(value).numpy()
    return steps
