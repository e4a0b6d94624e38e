"""Heads of attention taken out of graphs, whatever code the attention was written as."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from bundles_to_compress import work_on
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from pawl.compression import trainable
from pawl.compression.attending import Attending
from pawl.compression.graphs import optimized
from pawl.compression.heads import fewer_heads
from pawl.data.types import Examples, InputSpec, Schema, TargetColumn
from pawl.deployment.export import predict
from pawl.options.amounts import MaxLoss

WIDTH, HEADS, STEPS = 16, 4, 6
SCHEMA = Schema(
    source="arrays", kind="regression", targets=(TargetColumn(name="y"),),
    inputs=(InputSpec(name="x", shape=(STEPS, WIDTH), dtype="float32"),),
)  # fmt: skip


class Fused(nn.Module):
    """One projection, cut into queries, keys and values of heads by a shape of five axes."""

    def __init__(self) -> None:
        super().__init__()
        self.all, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.all(x).reshape(b, n, 3, HEADS, c // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * (c // HEADS) ** -0.5) @ k.transpose(-2, -1)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, c))


class Apart(nn.Module):
    """Three projections without biases, a bias of each head on its scores."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.place = nn.Parameter(torch.randn(1, HEADS, STEPS, STEPS))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part(x).view(*x.shape[:2], HEADS, -1).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        scores = q @ k.mT / (WIDTH // HEADS) ** 0.5 + self.place
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Causal(nn.Module):
    """Split behind one projection, PyTorch's function, nothing ahead is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.all, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.all(x).split(WIDTH, 2)
        q, k, v = (p.view(*x.shape[:2], HEADS, -1).transpose(1, 2) for p in parts)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(seen.transpose(1, 2).contiguous().view(x.shape))


class Stock(nn.Module):
    """PyTorch's own layer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x, x, x, need_weights=False)[0]
        return out


class Shared(nn.Module):
    """Keys and values that all heads look at."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.kv = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * WIDTH // HEADS)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        k, v = (p[:, None].expand(-1, HEADS, -1, -1) for p in self.kv(x).chunk(2, -1))
        return self.out(((q @ k.mT).softmax(-1) @ v).transpose(1, 2).flatten(2))


class Net(nn.Module):
    """Two attentions with what is usual around them."""

    def __init__(self, made: type[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(made() for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.last = nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        for part, norm in zip(self.parts, self.norms, strict=True):
            x = x + part(norm(x))
        return self.last(x.mean(1)).squeeze(1)


def exported(made: type[nn.Module], *, useless: bool = False) -> bytes:
    """The graph of a network; where heads are useless the last two of each attention give nothing."""
    torch.manual_seed(0)
    net = Net(made).eval()
    for name, weight in net.named_parameters():
        if useless and name.endswith(("out.weight", "out_proj.weight")):
            with torch.no_grad():
                weight[:, WIDTH // 2 :] = 0.0
    rows = torch.export.Dim("b", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            net, (torch.randn(2, STEPS, WIDTH),), dynamo=True, verbose=False, input_names=["x"],
            output_names=["prediction"], dynamic_shapes=({0: rows},),
        )  # fmt: skip
    assert program is not None
    held = io.BytesIO()
    program.save(held)
    return held.getvalue()


def examples(graph: bytes, count: int = 256) -> Examples:
    generator = torch.Generator().manual_seed(0)
    inputs = {"x": torch.randn(count, STEPS, WIDTH, generator=generator)}
    said = torch.from_numpy(predict(graph, Examples(inputs, None)))
    return Examples(inputs, said + 0.1 * said.std() * torch.randn(count, generator=generator))


@pytest.mark.parametrize("made", [Fused, Apart, Causal, Stock])
def test_a_graph_without_heads_predicts_what_it_does_with_them_at_zero(
    made: type[nn.Module],
) -> None:
    graph = exported(made)
    rows = examples(graph)
    found = Attending(optimized(graph), rows)
    assert [each.heads for each in found.found] == [HEADS, HEADS]
    assert not found.reasons
    first, second = found.found
    kept = {first: [1, 3], second: [0]}
    small = found.without(kept)
    np.testing.assert_allclose(
        predict(bytes(small.SerializeToString()), rows), predict(found.masked(kept), rows),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    assert np.abs(predict(found.masked(kept), rows) - predict(graph, rows)).max() > 1e-3
    sizes = {e.name: numpy_helper.to_array(e).size for e in small.graph.initializer}
    assert (sizes[first.name], sizes[second.name]) == (WIDTH * WIDTH // 2, WIDTH * WIDTH // 4)


def test_heads_that_share_what_they_look_at_stay() -> None:
    graph = exported(Shared)
    found = Attending(optimized(graph), examples(graph))
    assert not found.found
    assert len(found.reasons) == 2


def test_useless_heads_go_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainable, "_STEPS", 20)
    graph = exported(Stock, useless=True)
    rows = examples(graph)
    work, current = work_on(SCHEMA, rows, graph, metric="rmse", allowed=MaxLoss(0.02, True))
    found = fewer_heads(work, current)
    assert not isinstance(found, str)
    fewest = found[-1]
    assert fewest.detail == "4 of 8 heads of attention left"
    assert all(heads == [0, 1] for heads in fewest.facts["kept"].values())
    assert not fewest.is_exact
    assert work.judge(predict(fewest.graph, rows)).passed
    assert len(optimized(fewest.graph).SerializeToString()) < len(
        optimized(graph).SerializeToString()
    )


def test_a_graph_without_attention_says_so() -> None:
    nodes = [onnx.helper.make_node("ReduceMean", ["x", "axes"], ["prediction"], keepdims=0)]
    held = numpy_helper.from_array(np.array([1, 2]), "axes")
    made = onnx.helper.make_graph(
        nodes, "mean",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["b", STEPS, WIDTH])],
        [onnx.helper.make_tensor_value_info("prediction", onnx.TensorProto.FLOAT, ["b"])], [held],
    )  # fmt: skip
    model = onnx.helper.make_model(
        made, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10
    )
    graph = bytes(model.SerializeToString())
    work, current = work_on(SCHEMA, examples(graph), graph, metric="rmse")
    assert fewer_heads(work, current) == "the graph has no attention whose heads can go"


def test_heads_are_not_measured_where_time_is_short() -> None:
    graph = exported(Fused)
    work, current = work_on(SCHEMA, examples(graph), graph, metric="rmse")
    assert fewer_heads(replace(work, left=lambda: 0.0), current) == (
        "there is too little time left to measure its heads"
    )
