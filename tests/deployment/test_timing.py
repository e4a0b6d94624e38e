"""Latencies: turn by turn, medians with intervals over blocks of rounds."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from pawl.data.types import Examples
from pawl.deployment import Latency, latencies


def chain(layers: int, width: int = 64) -> bytes:
    """A graph of so many matrix products in a row."""
    weight = numpy_helper.from_array(np.eye(width, dtype=np.float32), "w")
    names = ["x", *(f"h{at}" for at in range(layers - 1)), "prediction"]
    nodes = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in itertools.pairwise(names)]
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", width])
        for n in ("x", "prediction")
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_a_graph_of_many_more_products_is_shown_to_be_slower() -> None:
    rows = Examples({"x": torch.randn(3, 64)}, None)
    found = latencies({"long": chain(80), "short": chain(2)}, rows, batch=64, rounds=16)
    gain, (low, high) = found["short"].gain_over(found["long"])
    assert 1.0 < low <= gain <= high
    assert found["short"].median < found["long"].median
    assert len(found["long"].times) == 16
    for each in found.values():
        low, high = each.interval
        assert low <= each.median <= high


def test_an_interval_is_wider_where_slow_rounds_come_in_stretches() -> None:
    # Forty rounds, of which a quarter are slow: spread evenly, or all in a row.
    even = np.tile([1.0, 1.0, 1.0, 2.0], 10)
    stretch = np.sort(even)
    assert Latency(even).interval == (1.0, 1.0)
    low, high = Latency(stretch).interval
    assert low == 1.0
    assert high > 1.0


def test_a_gain_does_not_see_what_slows_both() -> None:
    noise = np.random.default_rng(1).lognormal(sigma=0.8, size=60)
    slow, fast = Latency(3.0 * noise), Latency(noise)
    gain, interval = fast.gain_over(slow)
    np.testing.assert_allclose([gain, *interval], 3.0)
    assert slow.interval[1] > 1.2 * slow.interval[0]
