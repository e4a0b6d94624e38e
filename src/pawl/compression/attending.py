"""Heads of attention in a graph: which parts of its weights are a head's, and the graph without some.

A graph knows no heads, only shapes that numbers pass through between the projections and the products
of queries, keys and values. So the columns of a projection are numbered, and the numbers are sent the
same way: where they come out says whose they are. What moves numbers (reshapes, slices, splits) gets the
sizes that are left. Whether that is right is tried: without a head the graph must predict what it does
with the rows of the output projection at zero that this head is multiplied by.

Shape legend: `H` heads, `L` steps that look, `S` steps that are looked at, `D` numbers of a head.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from pawl.compression.cutting import Attention, Cut, UncutError, Way, input_axis, places
from pawl.compression.operations import OPERATIONS, attributes
from pawl.compression.trainable import arrays
from pawl.data.types import Examples
from pawl.deployment.export import predict, session
from pawl.errors import first_line

_MOVES = frozenset((
    "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
))  # fmt: skip
_SCALES = frozenset(("Div", "Mul"))
_BETWEEN = frozenset(("Add", "Div", "Identity", "Mul", "Sub", "Where"))
_LAYERS = frozenset(("Gemm", "MatMul"))
_FEWEST = 2
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
_RELATIVE, _ABSOLUTE = 1e-3, 1e-5
"""How far predictions may be apart, with sums in another order."""
Kept = Mapping[Attention, Sequence[int]]
"""Heads that are left; of an attention that is not there all are."""


class Attending:
    """The attentions of a graph, and the graph without some of their heads.

    Args:
        model: Of float weights, constants folded.
        rows: Real ones, three or more.

    Attributes:
        found: Those whose heads can go, which was tried.
        reasons: For the others, why they cannot.
    """

    def __init__(self, model: onnx.ModelProto, rows: Examples) -> None:
        model = _unshared(model)
        self._model, self._rows = model, rows.take(torch.arange(3))
        self._held = {each.name: each for each in model.graph.initializer}
        self._uses = Counter(name for node in model.graph.node for name in node.input)
        self._maker = {name: node for node in model.graph.node for name in node.output}
        self._users = defaultdict[str, list[onnx.NodeProto]](list)
        for node in model.graph.node:
            for name in node.input:
                self._users[name].append(node)
        self.found, self.reasons = list[Attention](), list[str]()
        softmaxes = [node for node in model.graph.node if node.op_type == "Softmax"]
        if not softmaxes:
            return
        self._one, self._two = (self._recorded(count) for count in (1, 2))
        for node in softmaxes:
            try:
                attention = self._attention(node)
                if attention is not None:
                    self._check(attention)
                    self.found.append(attention)
            except (UncutError, LookupError, ValueError, RuntimeError) as error:
                self.reasons.append(f"{node.output[0]}: {first_line(error)}")

    def masked(self, kept: Kept) -> bytes:
        """Returns the graph with the other heads at zero."""
        model = copy.deepcopy(self._model)
        held = {each.name: each for each in model.graph.initializer}
        for each, heads in kept.items():
            rows = places(each.out, heads)
            axis = input_axis(each.out.layer)
            weight = numpy_helper.to_array(held[each.name]).copy()
            gone = np.setdiff1d(np.arange(weight.shape[axis]), rows)
            weight[(gone,) if axis == 0 else (slice(None), gone)] = 0.0
            held[each.name].CopyFrom(numpy_helper.from_array(weight, each.name))
        return bytes(model.SerializeToString())

    def without(self, kept: Kept) -> onnx.ModelProto:
        """Returns the graph with these heads alone.

        Raises:
            UncutError: Something between projections and products cannot be cut.
        """
        model = copy.deepcopy(self._model)
        del model.graph.value_info[:]  # shapes with all heads
        cut = Cut(model, self._one, self._two)
        for each, heads in kept.items():
            cut.attention(each, list(heads))
        return model

    def _recorded(self, count: int) -> dict[str, np.ndarray]:
        """Returns all that a graph computes of so many rows, and its constants."""
        model = copy.deepcopy(self._model)
        names = [name for node in model.graph.node for name in node.output if name]
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        made = session(model.SerializeToString()).run(
            names, arrays(self._rows.take(torch.arange(count)))
        )
        held = {name: numpy_helper.to_array(each) for name, each in self._held.items()}
        return {**held, **dict(zip(names, made, strict=True))}

    def _attention(self, softmax: onnx.NodeProto) -> Attention | None:
        """Returns what attends by a softmax; `None` where it weighs nothing."""
        product = self._product(softmax.input[0])
        name, between = softmax.output[0], list[onnx.NodeProto]()
        while len(self._data_users(name)) == 1:
            (user,) = self._data_users(name)
            if user.op_type not in _BETWEEN:
                break
            between.append(user)
            name = user.output[0]
        users = self._data_users(name)
        if product is None or len(users) != 1 or users[0].op_type != "MatMul":
            return None
        context, before = users[0], product[1]
        if context.input[0] != name:
            return None
        queries, keys, values = (
            self._way(given) for given in (*product[0].input, context.input[1])
        )
        keys = _numbered(keys, swapped=True)
        ways = _numbered(queries), keys, _numbered(values)
        heads = len(ways[0].of_head)
        if any(len(way.of_head) != heads for way in ways):
            raise UncutError("queries, keys and values are of unlike heads")
        if heads < _FEWEST:
            raise UncutError("it has one head")
        out = self._out(context, heads)
        weight = out.layer.input[1]
        for way in (*ways, out):
            if self._uses[way.layer.input[1]] > 1:
                raise UncutError(f"the weight {way.layer.input[1]!r} is used twice")
        return Attention(weight, heads, ways, out, (*before, *between))

    def _data_users(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self._users[name] if node.op_type != "Shape"]

    def _product(self, name: str) -> tuple[onnx.NodeProto, list[onnx.NodeProto]] | None:
        """Returns the product that scores come from, and what they are added to or multiplied by."""
        node = self._maker.get(name)
        if node is None:
            return None
        if node.op_type == "MatMul":
            both = all(each not in self._held for each in node.input)
            return (node, []) if both and self._one[name].ndim > _FEWEST else None
        if node.op_type not in _BETWEEN:
            return None
        for each in node.input:
            found = None if each in self._held else self._product(each)
            if found is not None:
                return found[0], [*found[1], node]
        return None

    def _way(self, name: str) -> Way:
        """Returns the way of a product's factor, from its projection on; heads are not known yet."""
        nodes = list[tuple[onnx.NodeProto, int]]()
        while True:
            node = self._maker.get(name)
            if node is None:
                raise UncutError("no projection is seen")
            if self._is_layer(node):
                layer, bias = node, None
                break
            if node.op_type == "Add" and any(each in self._held for each in node.input):
                data = node.input[0] if node.input[1] in self._held else node.input[1]
                if data in self._maker and self._is_layer(self._maker[data]):
                    layer, bias = self._maker[data], node
                    break
            nodes.append((node, list(node.output).index(name)))
            name = self._data(node)
        nodes.reverse()
        start = torch.arange(self._one[name].shape[-1], dtype=torch.float64)
        return self._sent(layer, bias, nodes, start.expand(self._one[name].shape))

    def _out(self, context: onnx.NodeProto, heads: int) -> Way:
        """Returns the way from the heads' sums to the output projection."""
        name, nodes = context.output[0], list[tuple[onnx.NodeProto, int]]()
        shape = self._one[name].shape
        size = shape[-1]
        start = (torch.arange(heads)[:, None, None] * size + torch.arange(size)).double()
        while True:
            users = self._data_users(name)
            if len(users) != 1:
                raise UncutError("what heads return goes several ways")
            if self._is_layer(users[0]) and users[0].input[0] == name:
                break
            nodes.append((users[0], 0))
            if self._data(users[0]) != name:
                raise UncutError(
                    f"an operator in front of the output projection ({users[0].op_type})"
                )
            name = users[0].output[0]
        way = self._sent(users[0], None, nodes, start.expand(heads, shape[-2], size).reshape(shape))
        return Way(
            way.layer, None, way.nodes, way.labels, torch.arange(heads * size).view(heads, size)
        )

    def _is_layer(self, node: onnx.NodeProto) -> bool:
        given = attributes(node)
        return (
            node.op_type in _LAYERS and node.input[1] in self._held and not given.get("transA", 0)
            and len(self._held[node.input[1]].dims) == 2
        )  # fmt: skip

    def _data(self, node: onnx.NodeProto) -> str:
        """Returns the input whose numbers a node moves or scales."""
        names = [str(each) for each in node.input]
        if node.op_type in _MOVES:
            return names[0]
        if node.op_type in _SCALES:
            sizes = [self._one[each].size for each in names]
            if sizes[1] == 1:
                return names[0]
            if sizes[0] == 1 and node.op_type == "Mul":
                return names[1]
        raise UncutError(f"an operator between projections and scores ({node.op_type})")

    def _sent(
        self,
        layer: onnx.NodeProto,
        bias: onnx.NodeProto | None,
        nodes: Sequence[tuple[onnx.NodeProto, int]],
        start: Tensor,
    ) -> Way:
        """Sends numbers the way that data go."""
        labels = [start]
        for node, which in nodes:
            if node.op_type in _SCALES:
                labels.append(labels[-1])
                continue
            others = [torch.from_numpy(np.array(self._one[name])) for name in node.input[1:]]
            made = OPERATIONS[node.op_type](attributes(node), [labels[-1], *others])
            labels.append(made[which] if isinstance(made, list) else made)
        return Way(layer, bias, tuple(nodes), tuple(labels), start[:0])

    def _check(self, attention: Attention) -> None:
        """Takes heads out, and compares.

        Raises:
            UncutError: It cannot be, or predictions are others.
        """
        try:
            for gone in (0, attention.heads - 1):
                kept = {attention: [h for h in range(attention.heads) if h != gone]}
                made = predict(bytes(self.without(kept).SerializeToString()), self._rows)
                wanted = predict(self.masked(kept), self._rows)
                if not np.allclose(made, wanted, rtol=_RELATIVE, atol=_ABSOLUTE):
                    raise UncutError("without a head it predicts something else")
        except UncutError:
            raise
        except Exception as error:  # ONNX Runtime has exceptions of its own, without a common base
            raise UncutError(f"without a head it does not run ({first_line(error)})") from error


def _unshared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a graph whose nodes have biases and masks of their own; equal ones are stored once."""
    made = copy.deepcopy(model)
    held = {each.name: each for each in model.graph.initializer}
    seen = set[str]()
    for number, node in enumerate(made.graph.node):
        for at, name in enumerate(node.input):
            known = held.get(name)
            if known is None or len(known.dims) in (0, 2) or known.data_type not in _FLOATS:
                continue
            if name in seen:
                made.graph.initializer.append(known)
                made.graph.initializer[-1].name = node.input[at] = f"{name}_of_{number}"
            seen.add(name)
    return made


def _numbered(way: Way, *, swapped: bool = False) -> Way:
    """Returns a way with the numbers of each head, by where they are in a product's factor.

    Args:
        way: Its last labels are `[..., L, D]`, all in front of the last two axes being heads.
        swapped: Whether they are `[..., D, S]`.
    """
    last = way.labels[-1]
    last = last.transpose(-1, -2) if swapped else last
    each = last.reshape(-1, *last.shape[-2:])
    if not bool((each == each[:, :1]).all()):
        raise UncutError("steps of a sequence are projected apart")
    if len(np.unique(each[:, 0].numpy())) != each[:, 0].numel():
        raise UncutError("heads share what they look at")
    return Way(way.layer, way.bias, way.nodes, way.labels, each[:, 0])
