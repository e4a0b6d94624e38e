"""The graph of a weighted mean that trees correct: see `pawl.models.corrected`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from pawl.models.corrected import LEAST, Corrected
from pawl.models.joined_graphs import scaled
from pawl.models.trees import OPERATOR

_LAST = np.iinfo(np.int64).max


def corrected_graph(
    parts: Sequence[onnx.ModelProto], groups: Sequence[int], corrected: Corrected, output: str
) -> onnx.ModelProto:
    """Returns graphs of the same inputs as one whose output is what their groups' means are combined to.

    Its trees are as exporters leave them; `with_trees` writes them.

    Args:
        parts: At least one; each has one output.
        groups: Of each, which of the predictors it is one of.
        corrected: Combines these.
        output: The name of the output of each, and of what they are combined to.
    """
    sizes = np.bincount(groups)
    whole, terms = scaled(parts, [1.0 / sizes[group] for group in groups], output)
    graph = whole.graph

    def add(operator: str, inputs: Sequence[str], made: str, domain: str = "", **more: Any) -> str:
        made = made if made == output else f"corrected.{made}"  # inputs may have any name
        graph.node.append(helper.make_node(operator, inputs, [made], domain=domain, **more))
        return made

    def constant(name: str, value: np.ndarray) -> str:
        name = f"corrected.{name}"
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    one = constant("one", np.array([1]))
    last = constant("last", np.array([_LAST]))
    shares = corrected.shares.numpy()
    weighted, seen = [], []
    for number, share in enumerate(shares):
        mine = [term for term, group in zip(terms, groups, strict=True) if group == number]
        mean = add("Sum", mine, f"mean_{number}")
        weight = constant(f"weight_{number}", np.array(share, dtype=np.float32))
        weighted.append(add("Mul", [mean, weight], f"weighted_{number}"))
        if corrected.classes:
            seen.append(add("Slice", [mean, one, last, one], f"seen_{number}"))
        else:
            seen.append(add("Unsqueeze", [mean, one], f"seen_{number}"))
    total = add("Sum", weighted, "total")
    features = add("Concat", seen, "features", axis=1)
    domain, name = OPERATOR.split("::")
    trees = corrected.trees
    arrays = [
        constant(f"trees_{at}", getattr(trees, at).numpy())
        for at in ("nodes", "thresholds", "values", "roots")
    ]
    grown = add(name, [features, *arrays], "grown", domain)
    added = add("Add", [grown, constant("trees_base", trees.base.numpy())], "added")
    if not corrected.classes:
        add("Add", [total, add("Squeeze", [added, one], "flat")], output)
        return whole
    least = constant("least", np.array(LEAST, dtype=np.float32))
    logarithm = add("Log", [add("Max", [total, least], "clamped")], "logarithm")
    add("Softmax", [add("Add", [logarithm, added], "summed")], output, axis=-1)
    return whole
