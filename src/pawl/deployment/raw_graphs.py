"""ONNX graphs that take what people have and say what they want: columns in, labels out.

A bundle's `model.onnx` takes a table as two tensors, of numbers and of codes, and returns probabilities
or values. The graph here has an input for each column, `[rows]`: numbers (NaN where missing) as float32,
categories as text ("" where missing), each part of a date (days since 1970-01-01, month, weekday, hour)
as a number; texts stay token ids, images and arrays what they are. It returns `label`, as text, and
`probabilities` of classes, or `value`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from pawl.data.types import Examples, Schema
from pawl.kinds import KINDS
from pawl.models import OUTPUT

LABEL, PROBABILITIES, VALUE = "label", "probabilities", "value"
_INNER = "inner."
_ML = "ai.onnx.ml"
_CODES_OPSET = 2
"""Of `LabelEncoder` that turns texts into numbers."""


class _Nodes:
    """Nodes and constants that are put around a graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._made = 0

    def constant(self, values: np.ndarray) -> str:
        """Adds a constant; returns its name."""
        name = f"outer.constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def node(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Adds a node; returns its output's name."""
        name, self._made = f"outer.{op}_{self._made}", self._made + 1
        output = output or name
        self.nodes.append(helper.make_node(op, inputs, [output], name, **attributes))
        return output


def raw_graph(graph: bytes, schema: Schema, shift: float = 0.0) -> bytes:
    """Returns the graph that takes columns and returns labels.

    Args:
        graph: A bundle's.
        schema: How rows become its inputs.
        shift: What predictions of two classes are shifted by, which probabilities are not.
    """
    inner = compose.add_prefix(onnx.load_from_string(graph), _INNER)
    outer = _Nodes()
    inputs = _inputs(schema, outer, {item.name for item in inner.graph.input})
    before, outer.nodes = outer.nodes, []
    outputs = _outputs(schema, outer, shift)
    nodes = [*before, *inner.graph.node, *outer.nodes]
    made = helper.make_graph(
        nodes, "raw", inputs, outputs, [*inner.graph.initializer, *outer.constants]
    )
    opsets = {each.domain: each.version for each in inner.opset_import}
    if any(node.op_type == "LabelEncoder" for node in before):
        opsets[_ML] = max(_CODES_OPSET, opsets.get(_ML, 0))
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid(*each) for each in opsets.items()],
        ir_version=inner.ir_version, functions=inner.functions, producer_name="pawl",
    )  # fmt: skip
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def raw_feed(schema: Schema, rows: Examples) -> Mapping[str, np.ndarray]:
    """Returns rows as the graph takes them, from the tensors that the bundle's graph takes."""
    feed: dict[str, np.ndarray] = {}
    for spec in schema.inputs:
        tensor = rows.inputs[spec.name].numpy()
        if schema.source != "table" or spec.tokens:
            feed[spec.name] = tensor
        elif spec.cardinalities:
            for at, (name, categories) in enumerate(_categories(schema)):
                texts = np.array(["", *categories], dtype=object)
                feed[name] = texts[tensor[:, at]]
        else:
            feed |= {name: tensor[:, at].copy() for at, name in enumerate(spec.features)}
    return feed


def _categories(schema: Schema) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.name, each.categories) for each in schema.columns if each.kind == "categorical"]


def _inputs(schema: Schema, outer: _Nodes, taken: set[str]) -> list[onnx.ValueInfoProto]:
    """Returns the graph's inputs; adds the nodes that make the inner graph's of them."""
    found = []
    for spec in schema.inputs:
        inner = f"{_INNER}{spec.name}"
        if schema.source != "table" or spec.tokens:
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
            found.append(helper.make_tensor_value_info(spec.name, kind, ["rows", *spec.shape]))
            if inner in taken:
                outer.node("Identity", [spec.name], inner)
            continue
        parts, last = [], outer.constant(np.array([1], dtype=np.int64))
        if spec.cardinalities:
            for name, categories in _categories(schema):
                found.append(helper.make_tensor_value_info(name, TensorProto.STRING, ["rows"]))
                codes = outer.node(
                    "LabelEncoder", [name], domain=_ML, keys_strings=list(categories),
                    values_int64s=list(range(1, len(categories) + 1)), default_int64=0,
                )  # fmt: skip
                parts.append(outer.node("Unsqueeze", [codes, last]))
        else:
            for name in spec.features:
                found.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows"]))
                parts.append(outer.node("Unsqueeze", [name, last]))
        outer.node("Concat", parts, inner, axis=1)
    return found


def _outputs(schema: Schema, outer: _Nodes, shift: float) -> list[onnx.ValueInfoProto]:
    """Returns the graph's outputs; adds the nodes that make them of the inner graph's."""
    kind, said = KINDS[schema.kind], f"{_INNER}{OUTPUT}"
    axes = ["rows", *(f"place_{at}" for at in range(len(schema.places)))]
    if not kind.has_classes:
        wide = [len(schema.targets)] if kind.target_axes and not kind.has_places else []
        outer.node("Identity", [said], VALUE)
        return [helper.make_tensor_value_info(VALUE, TensorProto.FLOAT, [*axes, *wide])]
    if kind.exclusive:
        best = outer.node("ArgMax", [said], axis=-1, keepdims=0)
        names, wide = schema.classes, []
    else:
        half = outer.constant(np.array(0.5, dtype=np.float32))
        over = outer.node("Greater", [said, half])
        chosen = outer.node("Cast", [over], to=TensorProto.INT64)
        firsts = outer.constant(2 * np.arange(len(schema.targets), dtype=np.int64))
        best = outer.node("Add", [chosen, firsts])
        names, wide = (
            tuple(n for each in schema.targets for n in each.classes),
            [len(schema.targets)],
        )
    kind_of_label = TensorProto.STRING if names else TensorProto.INT64
    if names:
        outer.node("Gather", [outer.constant(np.array(names, dtype=object)), best], LABEL)
    else:
        outer.node("Identity", [best], LABEL)
    _probabilities(outer, said, shift)
    return [
        helper.make_tensor_value_info(LABEL, kind_of_label, [*axes, *wide]),
        helper.make_tensor_value_info(
            PROBABILITIES, TensorProto.FLOAT, [*axes, schema.num_outputs]
        ),
    ]


def _probabilities(outer: _Nodes, said: str, shift: float) -> None:
    """Adds what undoes the shift of the second of two classes (`pawl.deployment.predictions`)."""
    if not shift:
        outer.node("Identity", [said], PROBABILITIES)
        return
    last = outer.constant(np.array([1], dtype=np.int64))
    second = outer.node("Gather", [said, last], axis=1)
    one = outer.constant(np.array(1.0, dtype=np.float32))
    odds = outer.constant(np.array(math.exp(shift), dtype=np.float32))
    rest = outer.node("Mul", [outer.node("Sub", [one, second]), odds])
    plain = outer.node("Div", [second, outer.node("Add", [second, rest])])
    outer.node("Concat", [outer.node("Sub", [one, plain]), plain], PROBABILITIES, axis=1)
