"""Graphs of several pipelines as one: traced once for each structure, joined by a weighted sum."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import compose, helper, numpy_helper
from torch import Tensor, nn

from pawl.models.deployed import LEAST_PROBABILITY

_PLAIN = (bool, int, float, str, type(None))


def structure(module: nn.Module) -> str:
    """Returns what modules are equal by that compute the same but for their tensors.

    Their classes and plain attributes, all the way down, and the shapes of their weights. What else they
    hold counts as unlike in every module.
    """
    told = []
    for name, each in module.named_modules():
        own = {
            key: _told(value)
            for key, value in sorted(vars(each).items())
            if not key.startswith("_") and key != "train"  # that of what is held in evaluation
        }
        called = each.__dict__.get("forward")
        told.append((name, type(each).__module__, type(each).__qualname__, own, _told(called)))
    weights = [(name, tuple(p.shape)) for name, p in module.named_parameters()]
    buffers = [name for name, _ in module.named_buffers()]
    return repr((told, weights, buffers))


def _told(value: Any) -> str:
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, tuple | list):
        return repr([_told(each) for each in value])
    if isinstance(value, Mapping):
        return repr({key: _told(each) for key, each in value.items()})
    if isinstance(value, functools.partial):
        return repr((_told(value.func), _told(value.args), _told(value.keywords)))
    if hasattr(value, "__qualname__") and not hasattr(value, "__self__"):  # a function, a class
        return f"{value.__module__}.{value.__qualname__} {id(value)}"
    found = repr(value)
    return f"{found} {id(value)}" if " at 0x" in found else found


def part(model: onnx.ModelProto, number: int, output: str, name: str) -> onnx.ModelProto:
    """Returns what one output of a traced graph needs, as a graph of its own.

    Args:
        model: The graph of a module whose `members` were traced; its constants are named by them.
        number: Of the member.
        output: Its output's name.
        name: What the output is called in the part.
    """
    makers = {made: node for node in model.graph.node for made in node.output}
    wanted, found = [output], set[str]()
    while wanted:
        made = wanted.pop()
        if not made or made in found:  # an input or output that is left out has no name
            continue
        found.add(made)
        if made in makers:
            wanted += makers[made].input
    own = onnx.ModelProto()
    own.CopyFrom(model)
    graph, prefix = own.graph, f"members.{number}."
    del graph.node[:], graph.initializer[:], graph.value_info[:], graph.output[:]
    renamed = {output: name}
    for constant in model.graph.initializer:
        if constant.name in found:
            kept = graph.initializer.add()
            kept.CopyFrom(constant)
            kept.name = renamed[constant.name] = constant.name.removeprefix(prefix)
    for node in model.graph.node:
        if found & set(node.output):
            made_node = graph.node.add()
            made_node.CopyFrom(node)
            made_node.input[:] = [renamed.get(each, each) for each in node.input]
            made_node.output[:] = [renamed.get(each, each) for each in node.output]
    for item in model.graph.output:
        if item.name == output:
            graph.output.add().CopyFrom(item)
            graph.output[0].name = name
    return own


def with_tensors(model: onnx.ModelProto, tensors: Mapping[str, Tensor]) -> onnx.ModelProto:
    """Returns a traced graph with other tensors.

    Args:
        model: Constants that a tensor is named as are replaced; others stay.
        tensors: By name.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    for constant in copied.graph.initializer:
        if constant.name in tensors:
            value = np.ascontiguousarray(tensors[constant.name].detach().cpu().numpy())
            constant.CopyFrom(numpy_helper.from_array(value, constant.name))
    return copied


def joined(
    parts: Sequence[onnx.ModelProto],
    shares: Sequence[float],
    output: str,
    temperature: float | None = None,
    shift: float | None = None,
) -> onnx.ModelProto:
    """Returns graphs of the same inputs as one whose output is the weighted sum of theirs.

    Args:
        parts: At least one; each has one output.
        shares: Of each.
        output: The name of the output of each, and of the sum.
        temperature: What the sum, of probabilities, is tempered by; `None` for nothing.
        shift: Of the second of two classes; `None` for nothing.
    """
    whole, terms = scaled(parts, shares, output)
    if temperature is None and shift is None:
        whole.graph.node.append(helper.make_node("Sum", terms, [output]))
        return whole
    for name, value in (
        ("least", LEAST_PROBABILITY),
        ("temperature", 1.0 if temperature is None else temperature),
        ("shift", 0.0 if shift is None else [0.0, shift]),
    ):
        constant = numpy_helper.from_array(np.array(value, dtype=np.float32), name)
        whole.graph.initializer.append(constant)
    whole.graph.node.extend(
        [
            helper.make_node("Sum", terms, ["sum"]),
            helper.make_node("Max", ["sum", "least"], ["clamped"]),
            helper.make_node("Log", ["clamped"], ["logarithm"]),
            helper.make_node("Div", ["logarithm", "temperature"], ["tempered"]),
            helper.make_node("Add", ["tempered", "shift"], ["shifted"]),
            helper.make_node("Softmax", ["shifted"], [output], axis=-1),
        ]
    )
    return whole


def scaled(
    parts: Sequence[onnx.ModelProto], factors: Sequence[float], output: str
) -> tuple[onnx.ModelProto, list[str]]:
    """Returns graphs of the same inputs as one, and the names of their outputs times a factor each."""
    whole = onnx.ModelProto()
    whole.CopyFrom(parts[0])
    del whole.graph.node[:], whole.graph.initializer[:], whole.graph.value_info[:]
    inputs = {item.name for item in whole.graph.input}
    terms = []
    for number, (part, share) in enumerate(zip(parts, factors, strict=True)):
        own = compose.add_prefix(part, f"m{number}_", rename_inputs=False)
        for node in own.graph.node:  # inputs are shared, and keep their names
            node.input[:] = [_shared(name, number, inputs) for name in node.input]
        whole.graph.node.extend(own.graph.node)
        whole.graph.initializer.extend(own.graph.initializer)
        weight = numpy_helper.from_array(np.array(share, dtype=np.float32), f"share_{number}")
        whole.graph.initializer.append(weight)
        term = f"term_{number}"
        whole.graph.node.append(
            helper.make_node("Mul", [f"m{number}_{output}", weight.name], [term])
        )
        terms.append(term)
        known = {(o.domain, o.version) for o in whole.opset_import}
        whole.opset_import.extend(o for o in own.opset_import if (o.domain, o.version) not in known)
    return whole, terms


def _shared(name: str, number: int, inputs: set[str]) -> str:
    bare = name.removeprefix(f"m{number}_")
    return bare if bare in inputs else name
