"""Steps that train a graph: low-rank factors, integers that are learned, weights of few values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from bundles_to_compress import work_on
from graphs_to_compress import SCHEMA, WIDTH, examples, network
from onnx import TensorProto, helper, numpy_helper

from pawl.compression import factoring, learned_integers, quantizing, sharing, sparse, trainable
from pawl.compression.graphs import half, operators, optimized
from pawl.compression.quantizing import integers_in
from pawl.compression.sharing import shared
from pawl.compression.sparse import masked, patterned, thinned_out
from pawl.compression.trainable import Leaf, Trainable, arrays, trained
from pawl.compression.work import Goals
from pawl.deployment.export import predict
from pawl.errors import BundleError
from pawl.options.amounts import MaxLoss


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainable, "_STEPS", 100)


def constants(graph: bytes) -> dict[str, np.ndarray]:
    return {
        e.name: numpy_helper.to_array(e) for e in onnx.load_from_string(graph).graph.initializer
    }


def thin(rank: int) -> bytes:
    """A network whose two hidden layers have this rank and very little else."""
    model = onnx.load_from_string(network())
    for each in model.graph.initializer:
        if each.name in ("w1", "w2"):
            u, s, v = np.linalg.svd(numpy_helper.to_array(each))
            s[rank:] *= 1e-3
            each.CopyFrom(numpy_helper.from_array((u * s @ v).astype(np.float32), each.name))
    return bytes(model.SerializeToString())


def test_layers_of_low_rank_become_two_thin_ones() -> None:
    graph = thin(8)
    rows = examples(graph)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(0.02, True))
    found = factoring.factored(work, current)
    assert not isinstance(found, str)
    small = found[-1]
    assert small.facts["ranks"] == [[8, WIDTH], [8, WIDTH], [None, 1]]
    assert small.detail.startswith("2 of 3 layers as two thin ones")
    assert len(small.graph) < 0.35 * len(graph)
    assert not small.is_exact
    assert operators(small.graph)["MatMul"] == 5
    assert work.judge(predict(small.graph, rows)).passed


def test_training_brings_back_what_factors_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network()
    rows = examples(graph)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(5.0, True))
    (*_, with_) = factoring.factored(work, current)
    monkeypatch.setattr(factoring, "trained", lambda *_: 0)
    (*_, without) = factoring.factored(work, current)
    assert with_.facts["ranks"] == without.facts["ranks"]
    losses = [work.judge(predict(each.graph, rows)).loss for each in (with_, without)]
    assert losses[0] < 0.5 * losses[1]


def test_convolutions_are_factored_too_and_groups_are_not() -> None:
    generator = np.random.default_rng(0)
    kernel = generator.normal(size=(32, 4)) @ generator.normal(size=(4, 16 * 9)) / 12
    held = {
        "k": kernel.reshape(32, 16, 3, 3), "b": generator.normal(size=32),
        "d": generator.normal(size=(32, 1, 3, 3)), "one": generator.normal(size=(32, 1)),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["a"], "wide", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Conv", ["a", "d"], ["c"], "depthwise", group=32, pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("MatMul", ["f", "one"], ["prediction"], "last"),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 16, 8, 8])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["b", 1])],
        [numpy_helper.from_array(v.astype(np.float32), n) for n, v in held.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    layers = list(factoring._layers(model))
    assert [layer.matrix.shape for layer in layers] == [(144, 32), (32, 1)]
    rank = layers[0].rank(0.999)
    assert rank == 8
    made, leaves = factoring._rewritten(model, layers, (rank, None))
    assert {"k_down", "k_up", "b", "one"} <= set(leaves)
    x = {"x": generator.normal(size=(3, 16, 8, 8)).astype(np.float32)}
    last = {"one": Leaf(torch.from_numpy(held["one"]).float())}
    before, after = Trainable(model, last)(x), Trainable(made, leaves)(x)
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-4)


def test_weights_of_full_rank_and_graphs_of_integers_are_told() -> None:
    graph = network()
    rows = examples(graph)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(1e-6, True))
    assert "even 70% of the layers' energy loses" in str(factoring.factored(work, current))
    roomy, _ = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(0.5, True))
    (whole, *_) = quantizing.quantized(roomy, current)
    told = "the graph computes with integers already"
    assert factoring.factored(work, whole) == told
    assert learned_integers.integers_learned(work, whole) == told


def test_a_graph_that_is_trained_computes_what_onnx_runtime_does() -> None:
    graph = network()
    rows = examples(graph)
    model = optimized(graph)
    w2 = torch.from_numpy(constants(graph)["w2"].copy())
    module = Trainable(model, {"w2": Leaf(w2)})
    said = module(arrays(rows))
    np.testing.assert_allclose(said.detach().numpy(), predict(graph, rows), rtol=1e-3, atol=1e-4)
    said.sum().backward()
    (leaf,) = module.leaves
    assert leaf.grad is not None
    assert leaf.grad.abs().sum() > 0
    model.graph.node[3].op_type = "Det"
    with pytest.raises(BundleError, match=r"operator that cannot be trained \(Det\)"):
        Trainable(model, {"w2": Leaf(w2)})


def test_short_of_time_few_steps_are_taken() -> None:
    graph = network()
    work, _ = work_on(SCHEMA, examples(graph), graph, metric="rmse")
    w3 = torch.from_numpy(constants(graph)["w3"].copy())
    module = Trainable(optimized(graph), {"w3": Leaf(w3)})
    assert trained(replace(work, left=lambda: 0.0), module, 1e-3) == 3


def test_integers_that_are_learned_lose_less_and_are_what_runs() -> None:
    graph = network()
    rows = examples(graph)
    # 7 bits lose about 1% here: less is allowed.
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(0.009, True))
    quantizer = quantizing.Quantizing.of(work, current)
    assert isinstance(quantizer, quantizing.Quantizing)
    assert quantizing.Quantizing.of(work, current) is quantizer
    found = quantizer.judged(quantizing.Try("min-max"))
    assert found is not None
    before = found.candidate.graph
    made, facts = learned_integers.learned(work, before, constants(graph))
    # The same graph with other integers: the quantizer's scales, nodes and places.
    old, new = constants(before), constants(made)
    assert old.keys() == new.keys()
    for name, values in old.items():
        whole = values.dtype in (np.int8, np.int32) and name.endswith("_quantized")
        assert whole != np.array_equal(values, new[name]), name
    assert operators(before) == operators(made)
    assert integers_in(operators(made))["integer_nodes"] == 3
    # What runs is what was trained, within the rounding of an activation or two.
    assert facts["apart"] < 0.02
    teacher = predict(graph, rows)
    errors = [float(np.square(predict(each, rows) - teacher).mean()) for each in (before, made)]
    assert errors[1] < 0.5 * errors[0]


def test_training_is_for_integers_that_lose_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network()
    rows = examples(graph)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(0.5, True))
    assert "good enough without training" in str(learned_integers.integers_learned(work, current))
    made = quantizing.Quantizing.judged

    def worse(self: quantizing.Quantizing, how: quantizing.Try) -> quantizing.Quantized | None:
        found = made(self, how)
        return found and replace(found, passed=False)

    monkeypatch.setattr(quantizing.Quantizing, "judged", worse)
    (found,) = learned_integers.integers_learned(work, current)
    assert (found.step, found.is_exact) == ("int8 training", False)
    assert found.detail.endswith("trained as it rounds")
    assert found.facts["integer_nodes"] == 3
    assert found.facts["float_layers"] == 0
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(1e-9, True))
    assert "with training" in str(learned_integers.integers_learned(work, current))


def test_weights_of_sixteen_values_take_half_a_byte() -> None:
    graph = network()
    rows = examples(graph)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(1.0, True))
    (found,) = sharing.shared(work, current)
    assert found.facts == {"shared": 2 * WIDTH**2}
    assert "size alone" in found.detail
    assert len(found.graph) < 0.2 * len(graph)
    # It computes as before: what is looked up is looked up when the graph is loaded.
    assert operators(found.graph) == operators(graph)
    whole = onnx.load_from_string(found.graph)
    held = constants(found.graph)
    assert held["w1_bytes_values"].shape == (16,)
    assert held["w1_bytes_codes"].shape == (WIDTH * WIDTH // 2,)
    last = torch.from_numpy(held["w3_bytes"] * held["w3_bytes_scale"])
    first = Trainable(whole, {"w3": Leaf(last)})
    said = first(arrays(rows)).detach().numpy()
    np.testing.assert_allclose(said, predict(found.graph, rows), rtol=1e-3, atol=1e-4)
    # Trained to have such values they lose less.
    tight, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(0.08, True))
    (learned,) = sharing.shared(tight, current)
    assert "trained to have these" in learned.detail
    losses = [work.judge(predict(each.graph, rows)).loss for each in (found, learned)]
    assert losses[1] < 0.3 * losses[0]
    assert "lose" in str(sharing.shared(
        work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(1e-9, True))[0], current
    ))  # fmt: skip


def test_integers_may_share_values_and_stay_integers() -> None:
    graph = network()
    rows = examples(graph)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(0.5, True))
    quantizer = quantizing.Quantizing.of(work, current)
    assert isinstance(quantizer, quantizing.Quantizing)
    whole = quantizer.static()[0].candidate
    (found,) = sharing.shared(work, whole)
    assert operators(found.graph) == operators(whole.graph)
    assert len(found.graph) < 0.8 * len(whole.graph)
    tight = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(0.06, True))[0]
    (learned,) = sharing.shared(tight, whole)
    assert integers_in(operators(learned.graph))["integer_nodes"] == 3
    assert "no matrices or kernels" in str(sharing.shared(work, found))
    (short,) = half(work, current)
    assert (
        sharing.shared(work, short)
        == "the graph has no matrices or kernels that could share values"
    )


def test_values_are_the_means_of_clusters() -> None:
    values = np.array([[-100, -99, -101], [3, 3, 3], [50, 52, 51]], dtype=np.int8)
    table, codes = sharing.clusters(values, 3)
    assert table.tolist() == [-100, 3, 51]
    assert codes.tolist() == [[0] * 3, [1] * 3, [2] * 3]
    table, codes = sharing.clusters(np.zeros((4, 4), dtype=np.int8))
    assert not table[codes].any()


def test_weights_of_zero_take_a_bit_and_the_others_may_share_values() -> None:
    graph = network()
    rows = examples(graph)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(5.0, True))
    found = thinned_out(work, current)
    assert not isinstance(found, str)
    assert [each.detail[:8] for each in found] == [f"{n}% of 8" for n in (50, 70, 80, 90)]
    assert "weights zero (2 of any 4 in a row) and not kept (size alone)" in found[0].detail
    assert found[0].facts["how"] == ["2 of any 4 in a row"]
    sizes = [len(each.graph) for each in found]
    assert sizes == sorted(sizes, reverse=True)
    count = 2 * WIDTH**2
    ran = operators(graph)
    # A bit for each weight, and a byte for those that are there.
    assert -np.diff(sizes) == pytest.approx([0.2 * count, 0.1 * count, 0.1 * count], abs=60)
    for share, each in zip((0.5, 0.7, 0.8, 0.9), found, strict=True):
        assert each.facts["weights"] == count
        assert sum(each.facts["zero"].values()) / 2 == pytest.approx(share, abs=1e-3)
        assert operators(each.graph) == ran  # put together once, when it is loaded
        held = {i.name: numpy_helper.to_array(i) for i in optimized(each.graph).graph.initializer}
        zeros = sum(
            int((v == 0).sum()) for v in held.values() if v.ndim == 2 and v.size == WIDTH**2
        )
        assert zeros >= share * count - 1
    held = {i.name: numpy_helper.to_array(i) for i in optimized(found[0].graph).graph.initializer}
    for matrix in (v for v in held.values() if v.shape == (WIDTH, WIDTH)):  # inputs, units
        there = (matrix != 0).reshape(WIDTH // 4, 4, WIDTH).sum(1)
        assert there.max() == 2
    (less,) = shared(work, found[1])
    sizes = [sum(x.nbytes for x in constants(each.graph).values()) for each in (found[1], less)]
    assert sizes[1] < 0.75 * sizes[0]
    assert operators(less.graph) == ran
    short = replace(work, goals=Goals(latency=True, size=False))
    assert thinned_out(short, current) == shared(short, current)


def test_training_brings_back_what_zeros_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network()
    work, current = work_on(
        SCHEMA, examples(graph), graph, metric="rmse", allowed=MaxLoss(5.0, True)
    )
    with_ = thinned_out(work, current)[0]
    monkeypatch.setattr(trainable, "_STEPS", 1)
    without = thinned_out(work, current)[0]
    losses = [work.judge(predict(each.graph, work.rows)).loss for each in (with_, without)]
    assert losses[0] < 0.85 * losses[1]


def test_weights_are_rewound_where_going_on_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network()
    work, current = work_on(
        SCHEMA, examples(graph), graph, metric="rmse", allowed=MaxLoss(5.0, True)
    )
    starts = []

    def given(
        work_: object, model: object, weights: object, start: object, masks: object
    ) -> object:
        starts.append(start)
        return inner(work_, model, weights, start, masks)

    inner, asked = sparse._trained, iter([True, False, True, False, False])
    monkeypatch.setattr(sparse, "_trained", given)
    monkeypatch.setattr(trainable, "_STEPS", 2)
    judge = work.judge
    refusing = replace(work, judge=lambda said: replace(judge(said), passed=next(asked)))
    first, rewound = thinned_out(refusing, current)
    assert (first.facts["how"], rewound.facts["how"]) == (["2 of any 4 in a row"], ["rewound"])
    assert starts[2] is starts[0]
    assert starts[1] is not starts[0]


def test_patterns_run_along_the_inputs_of_kernels() -> None:
    left = patterned({"k": torch.arange(1.0, 37.0).reshape(2, 6, 3)}, {"k": 1})["k"]
    assert left[:, :, 0].tolist() == [[0, 0, 1, 1, 1, 1]] * 2  # two are left over, and stay


def test_no_layer_goes_as_a_whole() -> None:
    values = {"small": torch.full((8, 8), 1e-6), "large": torch.randn(8, 8)}
    left = masked(values, 0.9)
    assert {name: bool(mask.sum() > 0) for name, mask in left.items()} == {
        "small": True, "large": True,
    }  # fmt: skip
    assert sum(float(mask.sum()) for mask in left.values()) == 128 - int(0.9 * 128)
