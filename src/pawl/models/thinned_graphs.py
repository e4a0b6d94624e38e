"""Graphs of several pipelines, as `joined` makes them, with some of these left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper

_TERM, _SHARE = "term_", "share_"


def members_of(model: onnx.ModelProto) -> tuple[float, ...]:
    """Returns the share of each member of a joined graph, in order; empty if it is of one pipeline."""
    terms = _terms(model)
    constants = {each.name: each for each in model.graph.initializer}
    return tuple(float(numpy_helper.to_array(constants[node.input[1]])) for node in terms)


def _terms(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Returns the nodes that weigh members."""
    constants = {each.name for each in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if node.op_type == "Mul"
        and node.output[0].startswith(_TERM)
        and node.input[1].startswith(_SHARE)
        and node.input[1] in constants
    ]


def with_members(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """Returns a joined graph that gives what each member predicts as well, and these outputs' names."""
    copied = _copy(model)
    names = [node.input[0] for node in _terms(copied)]
    for name in names:
        output = copied.graph.output.add()
        output.name = name
        output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return copied, names


def thinned(model: onnx.ModelProto, kept: Sequence[int]) -> onnx.ModelProto:
    """Returns a joined graph of these members alone; their shares sum to one again.

    Args:
        model: As `joined` made it.
        kept: Numbers of members, at least one.
    """
    copied = _copy(model)
    terms = _terms(copied)
    shares = members_of(model)
    total = sum(shares[at] for at in kept)
    chosen = [terms[at] for at in kept]
    every = {node.output[0] for node in terms}
    (together,) = (n for n in copied.graph.node if n.op_type == "Sum" and every & {*n.input})
    together.input[:] = [node.output[0] for node in chosen]
    new = {terms[at].input[1]: shares[at] / total for at in kept}
    for constant in copied.graph.initializer:
        if constant.name in new:
            value = np.array(new[constant.name], dtype=np.float32)
            constant.CopyFrom(numpy_helper.from_array(value, constant.name))
    return without_unused(copied)


def without_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leaves out, in place, what no output needs; returns the model."""
    graph = model.graph
    makers = {made: node for node in graph.node for made in node.output if made}
    wanted, found = [item.name for item in graph.output], set[str]()
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found.add(name)
        if name in makers:
            wanted += [each for each in makers[name].input if each]
    nodes = [node for node in graph.node if found & {*node.output}]
    constants = [each for each in graph.initializer if each.name in found]
    shapes = [each for each in graph.value_info if each.name in found]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    graph.value_info.extend(shapes)
    return model


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied
