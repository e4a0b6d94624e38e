"""Export: the graph takes raw rows and says what PyTorch says; costs are measured on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from problems import frame, images, member, plain
from torch import Tensor, nn
from torch.nn import functional as F

from pawl.compression.graphs import quietly
from pawl.data import ModelSpec, load
from pawl.data.types import Examples, LoadedData
from pawl.deployment import BATCH_ROWS, check_parity, measure, predict
from pawl.errors import BundleError
from pawl.execution import Job, Plan, TrainingWay, train_all
from pawl.models import graphs
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.training.problem import Problem
from pawl.training.trained import Trained, blended, from_outcome, untrained

SERIAL = Plan(TrainingWay("serial", 1), "for the test")


@dataclass(frozen=True)
class Exported:
    """A model that was trained a little, its data, and its graph."""

    data: LoadedData
    trained: Trained
    graph: bytes
    torch_predictions: Tensor


RAW = Recipe.of(adamw={"learning_rate": 0.01}, batch_size={"size": 32})


def made_up() -> np.ndarray:
    """Rows of four numbers whose mean is not 0."""
    return np.random.default_rng(0).normal(0.3, size=(400, 4)).astype(np.float32)


def squeezing(graph: bytes) -> bytes:
    """Returns a graph that takes off every axis of length 1 in the end."""
    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        node.output[:] = ["whole" if name == graphs.OUTPUT else name for name in node.output]
    model.graph.node.append(onnx.helper.make_node("Squeeze", ["whole"], [graphs.OUTPUT]))
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "any"
    return bytes(model.SerializeToString())


def exported(task: Task, recipe: Recipe) -> Exported:
    data = load(task)
    problem = Problem.of(task, data)
    one = member(recipe, epochs=8)
    job = Job(one, torch.arange(len(data.test)), keep=True)
    (result,) = train_all(problem, [job], lambda _: SERIAL, examples=data.test)
    trained = from_outcome(problem, result.outcome)
    graph = trained.graph(data.development.take(torch.arange(4)))
    assert result.predictions is not None
    return Exported(data, trained, graph, result.predictions)


@pytest.fixture(scope="module")
def table() -> Exported:
    recipe = plain(depth={"layers": 3}, residual={}, batch_norm={}, dropout={"rate": 0.3}, ema={})
    return exported(Task(data=frame()), recipe)


@pytest.fixture(scope="module")
def regression() -> Exported:
    rate = {"learning_rate": 0.005}
    recipe = plain(layer_norm={}, activation={"function": "prelu"}, noise={}, momentum=rate)
    return exported(Task(data=frame(regression=True)), recipe)


def check(one: Exported, shape: tuple[int, ...]) -> np.ndarray:
    """Holds the graph, the rebuilt model and the population's own predictions equal."""
    onnx.checker.check_model(onnx.load_from_string(one.graph))
    assert check_parity(one.trained, one.graph, one.data.test) < 1e-5
    got = predict(one.graph, one.data.test)
    assert got.shape == shape
    assert got.dtype == np.float32
    scale = max(1.0, float(one.torch_predictions.abs().max()))
    np.testing.assert_allclose(got, one.torch_predictions.numpy(), rtol=0, atol=1e-5 * scale)
    # The batch axis is free: rows alone, a chunk, and more rows than were traced.
    for size in (1, 2, 7):
        rows = one.data.test.take(torch.arange(size))
        np.testing.assert_allclose(predict(one.graph, rows), got[:size], rtol=0, atol=1e-5 * scale)
    return got


def test_a_table_with_gaps_and_categories(table: Exported) -> None:
    rows = len(table.data.test)
    assert bool(table.data.test.inputs["numeric"].isnan().any())
    got = check(table, (rows, 2))
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)


def test_rows_all_missing_and_unknown_give_finite_probabilities(table: Exported) -> None:
    inputs = {
        name: torch.full_like(tensor[:3], torch.nan if tensor.is_floating_point() else 0)
        for name, tensor in table.data.test.inputs.items()
    }
    got = predict(table.graph, Examples(inputs, None))
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)


def test_a_regression_predicts_in_the_targets_own_units(regression: Exported) -> None:
    got = check(regression, (len(regression.data.test),))
    assert regression.data.test.targets is not None
    targets = regression.data.test.targets.numpy()
    # Targets are around 115 with a deviation of about 13: standardized values would be far off.
    assert abs(got.mean() - targets.mean()) < 15
    assert np.abs(got - targets).mean() < np.abs(targets - targets.mean()).mean()


def test_the_average_of_models_predicts_the_mean_of_their_predictions(regression: Exported) -> None:
    problem = Problem.of(Task(data=frame(regression=True)), regression.data)
    jobs = [
        Job(member(regression.trained.parts[0].recipe, seed, epochs=2), keep=True)
        for seed in range(2)
    ]
    results = train_all(problem, jobs, lambda _: SERIAL)
    others = [from_outcome(problem, result.outcome) for result in results]
    both = blended(others)
    assert blended(others[:1]) is others[0]
    assert both.num_parameters == 2 * others[0].num_parameters
    graph = both.graph(regression.data.development.take(torch.arange(4)))
    assert check_parity(both, graph, regression.data.test) < 1e-5
    inputs = tuple(regression.data.test.inputs[name] for name in both.model.names)
    with torch.no_grad():
        singles = [one.model(*inputs) for one in others]
    assert not torch.allclose(*singles)
    mean = torch.stack(singles).mean(0)
    np.testing.assert_allclose(predict(graph, regression.data.test), mean.numpy(), rtol=1e-4)


class Recurrent(nn.Module):
    """Reads a row's numbers one by one; its operator has outputs that nobody takes."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.rows, self.act = nn.GRU(1, 6, batch_first=True), nn.ReLU()
        self.head = nn.Linear(6, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.rows(x.unsqueeze(-1))[1][0]))


def test_models_of_several_structures_are_taken_apart_by_what_each_needs() -> None:
    data = load(Task(data=frame()))
    problem = Problem.of(Task(data=frame(), model=Recurrent), data)
    recipes = [plain(), plain(layer_norm={}), plain(activation={"function": "gelu"})]
    rows = torch.arange(len(problem.examples))
    several = blended([untrained(problem, each, 0, rows) for each in recipes], (0.5, 0.3, 0.2))
    graph = several.graph(data.development.take(torch.arange(4)))
    assert check_parity(several, graph, data.test) < 1e-5
    recurrent = [node for node in onnx.load_from_string(graph).graph.node if node.op_type == "GRU"]
    assert len(recurrent) == len(recipes)  # each has its own, and none another's


def test_images_enter_as_they_are() -> None:
    recipe = plain(random_crop={}, flip={}, batch_norm={})
    one = exported(Task(data=images()), recipe)
    assert [x.dtype for x in one.data.test.inputs.values()] == [torch.uint8]
    check(one, (len(one.data.test), 3))


class OneTuple(nn.Module):
    """Takes one tuple, and gives one logit."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        sizes = [one.shape[0] for one in spec.inputs]
        self.parts = nn.ModuleList(nn.Linear(size, 8) for size in sizes)
        self.last = nn.Linear(8, 1)

    def forward(self, both: tuple[Tensor, Tensor]) -> Tensor:
        hidden = sum(part(x) for part, x in zip(self.parts, both, strict=True))
        return self.last(torch.relu(hidden)).squeeze(-1)  # type: ignore[arg-type]


class Named(nn.Module):
    """Takes its inputs by name, and gives two logits."""

    def __init__(self) -> None:
        super().__init__()
        self.right, self.left = nn.Linear(2, 2), nn.Linear(4, 2)

    def forward(self, *, right: Tensor, left: Tensor) -> Tensor:
        return self.left(left) + self.right(right)


def arrays(rows: int = 160) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(2)
    left = generator.normal(size=(rows, 4)).astype(np.float32)
    right = generator.normal(size=(rows, 2)).astype(np.float32)
    return left, right, (left[:, 0] + right[:, 0] > 0).astype(np.int64)


@pytest.mark.parametrize("style", ["tuple", "dict"])
def test_models_of_the_users_own_with_several_inputs(style: str) -> None:
    left, right, targets = arrays()
    inputs: Any = (left, right) if style == "tuple" else {"left": left, "right": right}
    model: Any = OneTuple if style == "tuple" else Named
    one = exported(Task(data=(inputs, targets), model=model), plain())
    got = check(one, (len(one.data.test), 2))
    assert len({item.name for item in onnx.load_from_string(one.graph).graph.input}) == 2
    assert one.data.test.targets is not None
    assert (got.argmax(axis=1) == one.data.test.targets.numpy()).mean() > 0.7


def test_onnx_runtimes_own_quantizer_takes_a_graph(table: Exported, tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    source, target = tmp_path / "model.onnx", tmp_path / "int8.onnx"
    source.write_bytes(table.graph)
    with quietly():
        quantize_dynamic(source, target)
    assert any(n.op_type == "MatMulInteger" for n in onnx.load(target).graph.node)


def test_graphs_that_disagree_are_refused(table: Exported) -> None:
    wrong = onnx.load_from_string(table.graph)
    for weights in wrong.graph.initializer:
        if weights.data_type == onnx.TensorProto.FLOAT and len(weights.dims) == 2:
            values = onnx.numpy_helper.to_array(weights)
            weights.CopyFrom(onnx.numpy_helper.from_array(-values, weights.name))
    with pytest.raises(BundleError, match="differ by"):
        check_parity(table.trained, wrong.SerializeToString(), table.data.test)


class Loops(nn.Module):
    """Does as many steps as its data say: no graph can hold it."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.layer = nn.Linear(spec.num_features, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        while float(x.abs().max()) > 1:
            x = x / 2
        return self.layer(x)


def test_a_model_that_cannot_be_exported_is_told_in_one_line() -> None:
    with pytest.raises(BundleError, match="cannot be exported to ONNX") as caught:
        exported(Task(data=frame(), model=Loops), plain())
    assert "\n" not in str(caught.value)


class Distances(Loops):
    """Has an operator that ONNX lacks."""

    def forward(self, x: Tensor) -> Tensor:
        return -torch.cdist(x, self.layer.weight)


def test_an_operator_that_onnx_lacks_is_named() -> None:
    with pytest.raises(BundleError, match=r"operator aten\._cdist_forward has no ONNX function"):
        exported(Task(data=frame(), model=Distances), plain())


class InPlace(Loops):
    """Changes what it gets."""

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.5
        x *= 2
        return self.layer(x)


class Random(Loops):
    """Drops in evaluation, too."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.layer(x), 0.3)


class OfOthers(Loops):
    """Takes off the mean over the rows that come together."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x - x.mean(0))


class Plain(Loops):
    """As it should be."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def parity_of(model: type[nn.Module], x: np.ndarray) -> float:
    y = (np.arange(len(x)) % 2).astype(np.int64)
    task = Task(data=(x, y), model=model)
    data = load(task)
    fresh = untrained(Problem.of(task, data), RAW, 0, torch.arange(64))
    graph = fresh.graph(data.development.take(torch.arange(4)))
    before = {name: tensor.clone() for name, tensor in data.test.inputs.items()}
    try:
        return check_parity(fresh, graph, data.test)
    finally:
        for name, tensor in data.test.inputs.items():
            torch.testing.assert_close(tensor, before[name], equal_nan=True, rtol=0, atol=0)


def test_a_model_that_changes_its_inputs_in_place_agrees_with_its_graph() -> None:
    assert parity_of(InPlace, made_up()) < 1e-5


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            Random,
            r"differ by .* otherwise each time, also in evaluation mode; .* F\.dropout without",
        ),
        (OfOthers, r"differ by .* prediction of a row depends on the other rows"),
    ],
)
def test_why_a_graph_disagrees_is_told(model: type[nn.Module], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        parity_of(model, made_up())


def test_rows_with_gaps_that_make_no_numbers_are_told() -> None:
    x = made_up()
    x[::5, 1] = np.nan
    with pytest.raises(
        BundleError, match=r"not finite for (\d+) of \d+ rows \(\1 of them with gaps"
    ):
        parity_of(Plain, x)


def test_one_row_that_has_another_shape_in_the_graph_is_told(table: Exported) -> None:
    with pytest.raises(BundleError, match="forward must treat one row as it treats several"):
        check_parity(table.trained, squeezing(table.graph), table.data.test)


class Counts(Loops):
    """Asks its rows' number in a way that the exporter takes for a constant."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + torch.zeros(int(x.shape[0]), 1)


class Lengths(Loops):
    """Asks it in a way that Python makes a constant of."""

    def forward(self, x: Tensor) -> Tensor:
        rows = len(x)
        return self.layer(x.view(rows, -1)) + torch.zeros(rows, len([1]))


def test_a_length_is_the_number_of_rows() -> None:
    graph = onnx.load_from_string(exported(Task(data=frame(), model=Lengths), plain()).graph)
    assert all(item.type.tensor_type.shape.dim[0].dim_param for item in graph.graph.input)
    assert "len" not in globals()  # files are left as they were


class Masked(nn.Module):
    """PyTorch's own encoder, which looks at the values of a mask if nobody says what it is."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.embed = nn.Linear(1, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(8, spec.num_outputs)

    def mask(self, length: int) -> Tensor:
        return nn.Transformer.generate_square_subsequent_mask(length)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.encoder(self.embed(x[..., None]), mask=self.mask(x.shape[1]))[:, 0])


class MaskedByTruth(Masked):
    def mask(self, length: int) -> Tensor:
        return torch.ones(length, length, dtype=torch.bool).triu(1)


class MaskedBehind(Masked):
    """Each place sees those behind it alone: its mask is not the causal one."""

    def mask(self, length: int) -> Tensor:
        return torch.ones(length, length, dtype=torch.bool).tril(-1)


class MaskedDecoder(Masked):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        layer = nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x[..., None])
        mask = self.mask(x.shape[1])
        return self.out(self.decoder(x, self.encoder(x), tgt_mask=mask)[:, 0])


@pytest.mark.parametrize("model", [Masked, MaskedByTruth, MaskedBehind, MaskedDecoder])
def test_an_encoder_takes_a_mask_of_which_nobody_says_whether_it_is_causal(
    model: type[nn.Module],
) -> None:
    assert parity_of(model, made_up()) < 1e-5


def test_a_graph_takes_any_number_of_rows_or_is_refused() -> None:
    with pytest.raises(BundleError, match=r"4 rows at a time and no other number.* x\.shape\[0\]"):
        exported(Task(data=frame(), model=Counts), plain())


def test_a_graph_that_cannot_run_is_told_in_one_line(table: Exported) -> None:
    wrong = onnx.load_from_string(table.graph)
    wrong.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    with pytest.raises(BundleError, match="cannot be run by ONNX Runtime") as caught:
        check_parity(table.trained, wrong.SerializeToString(), table.data.test)
    assert "\n" not in str(caught.value)


def test_costs_are_positive_and_per_graph(table: Exported) -> None:
    graphs = {"baseline": table.graph, "final": table.graph}
    costs = measure(graphs, table.data.test)
    assert set(costs) == {"baseline", "final"}
    for cost in costs.values():
        assert cost.latency_ms > 0
        assert cost.batch_latency_ms > 0
        assert cost.size_bytes == len(table.graph)
    few = measure({"one": table.graph}, table.data.test.take(torch.arange(3)))
    assert few["one"].latency_ms > 0
    assert BATCH_ROWS > 3


def test_what_was_traced_for_others_serves_models_of_the_same_structure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = load(Task(data=frame()))
    problem = Problem.of(Task(data=frame()), data)
    rows = torch.arange(len(problem.examples))
    first, second = (untrained(problem, plain(), seed, rows) for seed in (0, 1))
    other = untrained(problem, plain(layer_norm={}), 0, rows)
    sample, traced = data.development.take(torch.arange(4)), dict[str, onnx.ModelProto]()
    blended([first, second]).graph(sample, traced)
    assert len(traced) == 1
    with monkeypatch.context() as patch:
        patch.setattr(graphs, "_traced", None)
        graph = second.graph(sample, traced)
    assert check_parity(second, graph, data.test) < 1e-5
    assert check_parity(other, other.graph(sample, traced), data.test) < 1e-5
    assert len(traced) == 2
