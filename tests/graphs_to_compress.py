"""A small graph to quantize, and rows for it."""

from __future__ import annotations

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper

from pawl.data.types import Examples, InputSpec, Schema, TargetColumn
from pawl.deployment.export import predict

WIDTH = 64
SCHEMA = Schema(
    source="arrays", kind="regression", targets=(TargetColumn(name="y"),),
    inputs=(InputSpec(name="x", shape=(WIDTH,), dtype="float32"),),
)  # fmt: skip


def network(*, fragile: bool = False) -> bytes:
    """Two hidden layers, then a sum; a fragile one reads a small signal from beside a huge one."""
    generator = np.random.default_rng(0)
    first = generator.normal(size=(WIDTH, WIDTH)) / 8
    second = generator.normal(size=(WIDTH, WIDTH)) / 8
    if fragile:
        # One unit is a million times the others, and nothing of it is read: what is read is lost
        # among whole numbers of its range.
        first[:, 0], second[0] = 1e6 * first[:, 0], 0.0
    last = generator.normal(size=(WIDTH, 1))
    constants = {"w1": first, "w2": second, "w3": last, "axes": np.array([1])}
    kinds = {name: np.int64 if name == "axes" else np.float32 for name in constants}
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w2"], ["c"], "second"),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "w3"], ["e"], "last"),
        helper.make_node("Squeeze", ["e", "axes"], ["prediction"]),
    ]
    graph = helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", WIDTH])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["b"])],
        [numpy_helper.from_array(v.astype(kinds[k]), k) for k, v in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def examples(graph: bytes, count: int = 600) -> Examples:
    """Rows whose targets are what a graph says, with noise."""
    generator = torch.Generator().manual_seed(0)
    inputs = {"x": torch.randn(count, WIDTH, generator=generator)}
    said = torch.from_numpy(predict(graph, Examples(inputs, None)))
    return Examples(inputs, said + 0.3 * said.std() * torch.randn(count, generator=generator))
