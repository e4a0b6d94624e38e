"""A graph without some heads of its attention, once it is known which parts of it are a head's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from pawl.compression.operations import attributes
from pawl.errors import BundleError

_HEAD_AXIS = -3


class UncutError(BundleError):
    """Something in a graph is not what heads can be taken out of; the text says what."""


@dataclass(frozen=True, eq=False)
class Way:
    """What lies between a projection and a product.

    Attributes:
        layer: The projection.
        bias: What adds its bias, where it is a node of its own.
        nodes: What moves numbers between them, in order, with the number of the output that goes on.
        labels: What comes out of the projection and of each node, numbered, with a batch of one row.
        of_head: The numbers that are a head's, `[H, D]`.
    """

    layer: onnx.NodeProto
    bias: onnx.NodeProto | None
    nodes: tuple[tuple[onnx.NodeProto, int], ...]
    labels: tuple[Tensor, ...]
    of_head: Tensor


@dataclass(frozen=True, eq=False)
class Attention:
    """An attention of a graph.

    Attributes:
        name: Of the weight of its output projection.
        heads: `H`.
        ways: Of queries, keys and values.
        out: From the heads' sums to the output projection.
        between: What scores and weights are added to or multiplied by.
    """

    name: str
    heads: int
    ways: tuple[Way, ...]
    out: Way
    between: tuple[onnx.NodeProto, ...]


class Cut:
    """Takes heads out of a graph, in place.

    Args:
        model: The graph.
        one: What it computes of one row.
        two: What it computes of two rows, which tells sizes that follow the batch.
    """

    def __init__(
        self, model: onnx.ModelProto, one: Mapping[str, np.ndarray], two: Mapping[str, np.ndarray]
    ) -> None:
        self._one, self._two = one, two
        self._graph = model.graph
        self._held = {each.name: each for each in model.graph.initializer}
        self._node = {node.output[0]: node for node in model.graph.node}

    def attention(self, each: Attention, kept: list[int]) -> None:
        """Leaves these heads of an attention."""
        together = defaultdict[str, list[Tensor]](list)
        for way in each.ways:
            together[way.layer.output[0]].append(way.of_head[kept].flatten())
        for way in each.ways:
            left = torch.cat(together[way.layer.output[0]])
            self._move(way, left)
        for way in {way.layer.output[0]: way for way in each.ways}.values():
            self._columns(way, np.unique(torch.cat(together[way.layer.output[0]]).long().numpy()))
        self._move(each.out, each.out.of_head[kept].flatten().double())
        self._take(each.name, places(each.out, kept), input_axis(each.out.layer))
        for node in each.between:
            for name in node.input:
                held = self._held.get(name)
                if held is not None and len(held.dims) >= -_HEAD_AXIS and held.dims[_HEAD_AXIS] > 1:
                    self._take(name, np.array(kept), len(held.dims) + _HEAD_AXIS)

    def _columns(self, way: Way, left: np.ndarray) -> None:
        """Leaves these outputs of a projection."""
        layer = way.layer
        self._take(layer.input[1], left, 0 if attributes(layer).get("transB", 0) else 1)
        biases = list(layer.input[2:]) if way.bias is None else list(way.bias.input)
        for name in biases:
            if name in self._held and self._held[name].dims:
                self._take(name, left, len(self._held[name].dims) - 1)

    def _take(self, name: str, left: np.ndarray, axis: int) -> None:
        values = numpy_helper.to_array(self._held[name])
        self._held[name].CopyFrom(numpy_helper.from_array(values.take(left, axis), name))

    def _move(self, way: Way, left: Tensor) -> None:
        """Gives what moves numbers the sizes that are left."""
        for (node, which), given, made in zip(
            way.nodes, way.labels[:-1], way.labels[1:], strict=True
        ):
            if node.op_type == "Reshape":
                self._give(node, 1, self._shape(node.output[which], torch.isin(made, left)))
            elif node.op_type == "Slice":
                for at, bounds in self._bounds(node, torch.isin(given, left)):
                    self._give(node, at, bounds)
            elif node.op_type == "Split" and len(node.input) > 1:
                axis = int(attributes(node).get("axis", 0))
                there = _along(torch.isin(given, left), axis)
                ends = np.cumsum(self._one[node.input[1]])
                parts = [int(part.sum()) for part in np.split(there.numpy(), ends[:-1])]
                self._give(node, 1, parts)

    def _shape(self, name: str, there: Tensor) -> list[int]:
        """Returns a shape for what is left, with -1 for what follows the batch."""
        one, two = self._one[name].shape, self._two[name].shape
        follows = [a != b for a, b in zip(one, two, strict=True)]
        if sum(follows) > 1:
            raise UncutError("two sizes of a shape follow the batch")
        return [
            -1 if moves else int(_along(there, axis).sum()) for axis, moves in enumerate(follows)
        ]

    def _bounds(self, node: onnx.NodeProto, there: Tensor) -> Iterator[tuple[int, list[int]]]:
        """Yields starts and ends of a slice in what is left."""
        starts, ends, axes, *steps = (
            [int(x) for x in self._one[name]] for name in node.input[1:] if name
        )
        if any(step != 1 for step in (steps[0] if steps else [])):
            raise UncutError("a slice with a step")
        new = [list[int](), list[int]()]
        for start, end, axis in zip(starts, ends, axes, strict=True):
            own = _along(there, axis)
            low, high, _ = slice(start, end).indices(len(own))
            new[0].append(int(own[:low].sum()))
            new[1].append(int(own[:high].sum()))
        yield from ((1, new[0]), (2, new[1]))

    def _give(self, node: onnx.NodeProto, at: int, values: Sequence[int]) -> None:
        """Gives a node a constant of its own, as others may share the one that it has."""
        name = f"{node.output[0]}_left_{at}"
        made = numpy_helper.from_array(np.array(values, dtype=np.int64), name)
        if name in self._held:
            self._held[name].CopyFrom(made)
            return
        self._graph.initializer.append(made)
        self._held[name] = self._graph.initializer[-1]
        self._node[node.output[0]].input[at] = name


def places(out: Way, kept: Sequence[int]) -> NDArray[np.int64]:
    """Returns the rows of an output projection that these heads are multiplied by."""
    last = out.labels[-1]
    rows = last.reshape(-1, last.shape[-1])[0]
    left = torch.isin(rows, out.of_head[list(kept)].flatten().double())
    return np.asarray(left.nonzero()[:, 0].numpy())


def input_axis(layer: onnx.NodeProto) -> int:
    """Returns the axis of a layer's weight that its input is multiplied by."""
    return 1 if attributes(layer).get("transB", 0) else 0


def _along(there: Tensor, axis: int) -> Tensor:
    """Returns which places of an axis hold anything that is left."""
    return there.movedim(axis, 0).flatten(1).any(1) if there.dim() > 1 else there
