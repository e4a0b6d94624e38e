"""ONNX graphs that take what people have and say what they want: columns in, labels out.

A bundle's `model.onnx` takes a table as two tensors, of numbers and of codes, and returns probabilities
or values. The graph here has an input for each column, `[rows]`: numbers (NaN where missing) as float32,
categories as text ("" where missing), each part of a date (days since 1970-01-01, month, weekday, hour)
as a number; texts stay token ids, and windows, images and arrays what they are. It returns `label`, as
text, and `probabilities` of classes, or `value`; where a column is called so, with `_` behind it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from pawl.data.types import Examples, InputSpec, Schema
from pawl.kinds import KINDS
from pawl.models import OUTPUT

LABEL, PROBABILITIES, VALUE = "label", "probabilities", "value"
_INNER = "inner."
_ML = "ai.onnx.ml"
_CODES_OPSET = 2
"""Of `LabelEncoder` that turns texts into numbers."""


@dataclass(frozen=True)
class RawInput:
    """An input of the graph.

    Attributes:
        name: What it is called.
        spec: The input of the bundle's graph that is made of it.
        place: Its place among that one's columns; `None` if it is all of it.
        categories: Of a column of categories, which it gives as text.
    """

    name: str
    spec: InputSpec
    place: int | None = None
    categories: tuple[str, ...] | None = None


def raw_inputs(schema: Schema) -> list[RawInput]:
    """Returns the graph's inputs in order. Columns have their names, and what is none has another."""
    coded = [each for each in schema.columns if each.kind == "categorical"]
    found: list[RawInput] = []
    for spec in schema.inputs:
        if _is_whole(schema, spec):
            found.append(RawInput(spec.name, spec))
        elif spec.cardinalities:
            found += [RawInput(c.name, spec, at, c.categories) for at, c in enumerate(coded)]
        else:
            found += [RawInput(name, spec, at) for at, name in enumerate(spec.features)]
    columns = {column.name for column in schema.columns}
    taken = {each.name for each in found if each.place is not None} & columns
    for at, each in enumerate(found):
        if each.place is None or each.name not in columns:
            found[at] = replace(each, name=_free(each.name, taken))
            taken.add(found[at].name)
    return found


def raw_outputs(schema: Schema) -> tuple[str, ...]:
    """Returns the names of the graph's outputs: of labels and probabilities, or of values."""
    taken = {each.name for each in raw_inputs(schema)}
    names = (LABEL, PROBABILITIES) if KINDS[schema.kind].has_classes else (VALUE,)
    return tuple(_free(name, taken) for name in names)


def _is_whole(schema: Schema, spec: InputSpec) -> bool:
    return schema.source != "table" or bool(spec.tokens) or len(spec.shape) > 1


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name


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
    for each in raw_inputs(schema):
        tensor = rows.inputs[each.spec.name].numpy()
        if each.place is not None:
            tensor = tensor[:, each.place].copy()
        if each.categories is not None:
            tensor = np.array(["", *each.categories], dtype=object)[tensor]
        feed[each.name] = tensor
    return feed


def _inputs(schema: Schema, outer: _Nodes, taken: set[str]) -> list[onnx.ValueInfoProto]:
    """Returns the graph's inputs; adds the nodes that make the inner graph's of them."""
    found = []
    parts: dict[str, list[str]] = {}
    last = outer.constant(np.array([1], dtype=np.int64))
    for each in raw_inputs(schema):
        name, spec, inner = each.name, each.spec, f"{_INNER}{each.spec.name}"
        if each.place is None:
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
            found.append(helper.make_tensor_value_info(name, kind, ["rows", *spec.shape]))
            if inner in taken:
                outer.node("Identity", [name], inner)
            continue
        kind, column = TensorProto.FLOAT, name
        if each.categories is not None:
            kind, codes = TensorProto.STRING, list(range(1, len(each.categories) + 1))
            column = outer.node(
                "LabelEncoder", [name], domain=_ML, keys_strings=list(each.categories),
                values_int64s=codes, default_int64=0,
            )  # fmt: skip
        found.append(helper.make_tensor_value_info(name, kind, ["rows"]))
        parts.setdefault(inner, []).append(outer.node("Unsqueeze", [column, last]))
    for inner, columns in parts.items():
        outer.node("Concat", columns, inner, axis=1)
    return found


def _outputs(schema: Schema, outer: _Nodes, shift: float) -> list[onnx.ValueInfoProto]:
    """Returns the graph's outputs; adds the nodes that make them of the inner graph's."""
    kind, said = KINDS[schema.kind], f"{_INNER}{OUTPUT}"
    axes = ["rows", *(f"place_{at}" for at in range(len(schema.places)))]
    named = raw_outputs(schema)
    if not kind.has_classes:
        wide = [len(schema.targets)] if kind.target_axes and not kind.has_places else []
        outer.node("Identity", [said], named[0])
        return [helper.make_tensor_value_info(named[0], TensorProto.FLOAT, [*axes, *wide])]
    label, probabilities = named
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
        outer.node("Gather", [outer.constant(np.array(names, dtype=object)), best], label)
    else:
        outer.node("Identity", [best], label)
    _probabilities(outer, said, shift, probabilities)
    return [
        helper.make_tensor_value_info(label, kind_of_label, [*axes, *wide]),
        helper.make_tensor_value_info(
            probabilities, TensorProto.FLOAT, [*axes, schema.num_outputs]
        ),
    ]


def _probabilities(outer: _Nodes, said: str, shift: float, output: str) -> None:
    """Adds what undoes the shift of the second of two classes (`pawl.deployment.predictions`)."""
    if not shift:
        outer.node("Identity", [said], output)
        return
    last = outer.constant(np.array([1], dtype=np.int64))
    second = outer.node("Gather", [said, last], axis=1)
    one = outer.constant(np.array(1.0, dtype=np.float32))
    odds = outer.constant(np.array(math.exp(shift), dtype=np.float32))
    rest = outer.node("Mul", [outer.node("Sub", [one, second]), odds])
    plain = outer.node("Div", [second, outer.node("Add", [second, rest])])
    outer.node("Concat", [outer.node("Sub", [one, plain]), plain], output, axis=1)
