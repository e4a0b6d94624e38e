"""Integers in place of floats: that they run, that predictions stay near, and what is left out."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from bundles_to_compress import work_on
from onnx import TensorProto, helper, numpy_helper

from pawl.compression.graphs import clean, half, operators
from pawl.compression.quantizing import has_vnni, integers_in, quantized
from pawl.compression.work import Goals
from pawl.data.types import Examples, InputSpec, Schema, TargetColumn
from pawl.deployment.export import predict
from pawl.options.amounts import MaxLoss

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


def test_layers_run_on_integers_and_predict_nearly_the_same() -> None:
    graph = network()
    rows = examples(graph)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse")
    found = quantized(work, current)
    assert not isinstance(found, str)
    float_said = predict(graph, rows)
    for candidate in found:
        assert candidate.facts["integer_nodes"] == 3
        assert candidate.facts["excluded"] == []
        assert len(candidate.graph) < 0.5 * len(graph)
        assert not candidate.is_exact
        apart = np.abs(predict(candidate.graph, rows) - float_said)
        assert apart.mean() < 0.05 * float_said.std()
    details = {one.detail for one in found}
    assert "dynamic" in details
    assert any(detail.startswith("static") for detail in details)
    # The cheapest first: only size counts here.
    assert [len(one.graph) for one in found] == sorted(len(one.graph) for one in found)


def test_layers_that_integers_spoil_stay_as_they_are() -> None:
    graph = network(fragile=True)
    rows = examples(graph)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(0.02, True))
    found = quantized(work, current)
    assert not isinstance(found, str)
    (mixed,) = [one for one in found if one.detail.startswith("static")]
    assert "second" in mixed.facts["excluded"]
    assert mixed.facts["integer_nodes"] >= 1
    assert work.judge(predict(mixed.graph, rows)).passed


def test_products_of_stacks_of_matrices_stay_floats() -> None:
    model = onnx.load_from_string(network())
    stack = np.stack([np.eye(WIDTH, dtype=np.float32)] * 2)
    model.graph.initializer.append(numpy_helper.from_array(stack, "stack"))
    nodes = list(model.graph.node)
    nodes[0].output[0] = "a2"
    nodes[1:1] = [
        helper.make_node("MatMul", ["a2", "stack"], ["both"], "stacked"),
        helper.make_node("ReduceMean", ["both", "first_axis"], ["a"], "pooled", keepdims=0),
    ]
    model.graph.initializer.append(numpy_helper.from_array(np.array([0]), "first_axis"))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    graph = model.SerializeToString()
    work, current = work_on(SCHEMA, examples(graph), graph, metric="rmse")
    found = quantized(work, current)
    assert not isinstance(found, str)
    for candidate in found:
        assert candidate.facts["integer_nodes"] == 3
        assert candidate.facts["float_layers"] == 1


def test_what_loses_too_much_is_told_with_what_it_loses() -> None:
    graph = network()
    work, current = work_on(
        SCHEMA, examples(graph), graph, metric="rmse", allowed=MaxLoss(1e-9, True)
    )
    found = quantized(work, current)
    assert isinstance(found, str)
    assert "loses too much" in found


def test_integers_are_not_made_of_integers_nor_where_there_are_no_layers() -> None:
    graph = network()
    work, current = work_on(SCHEMA, examples(graph), graph, metric="rmse")
    (first, *_) = quantized(work, current)
    assert quantized(work, first) == "the graph computes with integers already"
    model = onnx.load_from_string(graph)
    bare = helper.make_graph(
        [helper.make_node("ReduceSum", ["x", "axes"], ["prediction"], keepdims=0)],
        "sum", model.graph.input, model.graph.output,
        [each for each in model.graph.initializer if each.name == "axes"],
    )  # fmt: skip
    other = helper.make_model(bare, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    work, current = work_on(SCHEMA, examples(graph), other.SerializeToString(), metric="rmse")
    assert "no layer that integers could compute" in str(quantized(work, current))


def test_constants_of_16_bits_halve_the_file_and_are_floats_when_it_runs() -> None:
    graph = network()
    rows = examples(graph)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse")
    (found,) = half(work, current)
    assert found.facts == {"shortened": 2 * WIDTH**2 + WIDTH}
    assert len(found.graph) < 0.55 * len(graph)
    ran = operators(found.graph)
    assert ran["Cast"] == 0
    assert ran["MatMul"] == 3
    said = predict(found.graph, rows)
    np.testing.assert_allclose(said, predict(graph, rows), atol=2e-2)


def test_numbers_that_16_bits_do_not_hold_stay() -> None:
    graph = network(fragile=True)
    work, current = work_on(SCHEMA, examples(graph), graph, metric="rmse")
    (found,) = half(work, current)
    names = {each.name for each in onnx.load_from_string(found.graph).graph.initializer}
    assert "w1" in names
    assert "w2_half" in names


def test_cleaning_keeps_what_is_computed() -> None:
    model = onnx.load_from_string(network())
    model.graph.node[0].doc_string = "a note" * 1000
    entry = model.graph.node[1].metadata_props.add()
    entry.key, entry.value = "stack", "trace" * 1000
    graph = model.SerializeToString()
    rows = examples(graph)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", goals=Goals())
    (found,) = clean(work, current)
    assert found.is_lossless
    assert b"a note" not in found.graph
    assert b"trace" not in found.graph
    np.testing.assert_allclose(predict(found.graph, rows), predict(graph, rows), rtol=1e-5)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx2 avx512_vnni", True), ("fpu avx2", False), ("flags : avx_vnni", True)],
)
def test_processors_are_told_apart(flags: str, expected: bool) -> None:
    assert has_vnni(lambda: flags) is expected


def test_floats_that_are_left_are_counted() -> None:
    graph = network()
    assert integers_in(operators(graph)) == {
        "integer_nodes": 0, "conversions": 0, "float_layers": 3,
    }  # fmt: skip
