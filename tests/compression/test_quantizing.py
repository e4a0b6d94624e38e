"""Integers in place of floats: that they run, that predictions stay near, and what is left out."""

from __future__ import annotations

import os

import numpy as np
import onnx
import pytest
from bundles_to_compress import work_on
from graphs_to_compress import SCHEMA, WIDTH, examples, network
from onnx import helper, numpy_helper

from pawl.compression.correcting import CORRECTED, SMOOTHED, corrections
from pawl.compression.graphs import bytes_for_weights, clean, half, operators
from pawl.compression.quantizing import Quantizing, Try, has_vnni, integers_in, quantized
from pawl.compression.sharing import shared
from pawl.compression.work import Goals
from pawl.deployment.export import predict
from pawl.options.amounts import MaxLoss


def test_layers_run_on_integers_and_predict_nearly_the_same() -> None:
    graph = network()
    rows = examples(graph)
    # Processors without products of 8 bits get weights of 7, which lose more.
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(0.1, True))
    quantizing = Quantizing.of(work, current)
    assert isinstance(quantizing, Quantizing)
    dynamic = quantizing.judged(Try(None))
    assert dynamic is not None
    every = [*quantizing.static(), dynamic]
    assert len(every) == 4
    float_said = predict(graph, rows)
    for candidate in (one.candidate for one in every):
        assert candidate.facts["integer_nodes"] == 3
        assert candidate.facts["excluded"] == []
        assert len(candidate.graph) < 0.5 * len(graph)
        assert not candidate.is_exact
        apart = np.abs(predict(candidate.graph, rows) - float_said)
        assert apart.mean() < 0.05 * float_said.std()
    found = quantized(work, current)
    assert {id(one) for one in found} <= {id(one.candidate) for one in every}
    # Each is cheaper than those that lose less: only size counts here.
    assert [len(one.graph) for one in found] == sorted(
        (len(one.graph) for one in found), reverse=True
    )
    losses = [work.judge(predict(one.graph, rows)).loss for one in found]
    assert losses == sorted(losses)


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
    work, current = work_on(
        SCHEMA, examples(graph), graph, metric="rmse", allowed=MaxLoss(0.1, True)
    )
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


def test_weights_of_8_bits_quarter_the_file_and_are_floats_when_it_runs() -> None:
    graph = network()
    rows = examples(graph)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse")
    (found,) = bytes_for_weights(work, current)
    assert found.facts == {"rounded": 2 * WIDTH**2 + WIDTH}
    assert len(found.graph) < 0.33 * len(graph)
    ran = operators(found.graph)
    assert (ran["Cast"], ran["Mul"]) == (0, 0)
    assert integers_in(ran)["integer_nodes"] == 0
    assert ran["MatMul"] == 3
    float_said, said = predict(graph, rows), predict(found.graph, rows)
    assert 0 < np.abs(said - float_said).mean() < 0.03 * float_said.std()
    # A unit's weights are rounded by its own largest one: half a step at most.
    held, whole = (
        {e.name: numpy_helper.to_array(e) for e in onnx.load_from_string(each).graph.initializer}
        for each in (found.graph, graph)
    )
    before = whole["w1"]
    after = held["w1_bytes"] * held["w1_bytes_scale"]
    assert (np.abs(after - before) <= 0.5001 * np.abs(before).max(0) / 127).all()
    assert "no matrices" in str(bytes_for_weights(work, found))


def test_numbers_of_64_bits_are_kept_shorter_too_and_computed_as_wide() -> None:
    model = onnx.load_from_string(network())
    for each in model.graph.initializer:
        if each.name != "axes":
            wide = numpy_helper.to_array(each).astype(np.float64)
            each.CopyFrom(numpy_helper.from_array(wide, each.name))
    nodes = list(model.graph.node)
    nodes[0].input[0], nodes[-1].output[0] = "wide", "wide prediction"
    nodes.insert(0, helper.make_node("Cast", ["x"], ["wide"], to=onnx.TensorProto.DOUBLE))
    nodes.append(
        helper.make_node("Cast", ["wide prediction"], ["prediction"], to=onnx.TensorProto.FLOAT)
    )
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    graph = bytes(model.SerializeToString())
    rows = examples(graph)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(0.2, True))
    said = predict(graph, rows)
    for step, size in ((half, 0.3), (bytes_for_weights, 0.18), (shared, 0.12)):
        (found,) = step(work, current)
        assert len(found.graph) < size * len(graph)
        ran = operators(found.graph)
        assert (ran["Cast"], ran["MatMul"]) == (2, 3)
        assert np.abs(predict(found.graph, rows) - said).mean() < 0.2 * said.std()
    assert "computes all of it with floats" in str(quantized(work, current))


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


def test_biases_are_corrected_where_rounding_alone_loses_too_much() -> None:
    pytest.importorskip("nncf")
    graph = network()
    rows = examples(graph, 300)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(0.1, True))
    quantizing = Quantizing.of(work, current)
    assert isinstance(quantizing, Quantizing)
    (found,) = (
        quantizing.corrected()
    )  # the graph has no normalization whose outliers could be moved
    assert found.candidate.detail == "static, NNCF bias correction"
    assert found.candidate.facts["integer_nodes"] == 3
    assert len(found.candidate.graph) < 0.5 * len(graph)
    said, expected = predict(found.candidate.graph, rows), predict(graph, rows)
    assert np.abs(said - expected).mean() < 0.05 * expected.std()
    left = quantizing.judged(Try(CORRECTED, ("second",)))
    assert left is not None
    floats = left.candidate.facts["float_layers"]
    assert 1 <= floats < 3
    assert f"{floats} layer(s) compute with floats" in left.candidate.detail
    assert os.environ["NNCF_CI"]  # it sends nothing to anyone


def test_outliers_are_moved_in_graphs_with_normalizations() -> None:
    pytest.importorskip("nncf")
    model = onnx.load_from_string(network())
    assert corrections(model) == (CORRECTED,)
    model.graph.node.append(helper.make_node("LayerNormalization", ["e", "axes"], ["f"]))
    assert corrections(model) == (CORRECTED, SMOOTHED)
