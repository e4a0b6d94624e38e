"""Activations that a user's module calls as functions: found, proven to be the same, and changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from problems import ALL_ROWS, frame, member, plain, problem_of
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pawl.data import ModelSpec
from pawl.deployment.export import check_parity
from pawl.models import Adapter, KeyedDropout, dropouts, revealed
from pawl.models.keyed_calls import KeyedDraw, KeyedScores, keyed
from pawl.models.surgery import activations
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.techniques import refusal, technique
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.problem import Problem
from pawl.training.serial import SerialStepper
from pawl.training.trained import untrained


class Body(nn.Module):
    """Two layers; what is between them differs."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.first = nn.Linear(spec.num_features, 16)
        self.second = nn.Linear(16, 16)
        self.last = nn.Linear(16, spec.num_outputs)


class ByFunctions(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        return self.last(F.gelu(self.second(x), approximate="tanh"))


class ByMethods(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        return self.last(torch.relu(self.second(x)))


class InPlace(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x.relu_()  # nobody takes what is returned
        x = self.second(x)
        F.leaky_relu(x, 0.2, inplace=True)
        return self.last(x)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.silu(self.layer(F.silu(x)))


class Shared(Body):
    """One block is called twice, and stands under two names; a module that is an activation besides."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.block = Block()
        self.again = self.block
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.again(self.block(self.first(x)))))


class Mixed(Body):
    """What is called as a function would be mistaken for what a new module calls inside."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.gelu(self.second(self.act(self.first(x)))))


class OtherInTraining(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(F.relu(self.second(F.elu(x) if self.training else F.selu(x))))


class OtherSlope(Body):
    """One call, which is another function when it trains."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(x), 0.5 if self.training else 0.01)
        return self.last(F.relu(self.second(x)))


class Transformer(nn.Module):
    """PyTorch's own layer takes another way in evaluation, around all functions."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.first = nn.Linear(spec.num_features, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.last = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(self.first(x).unsqueeze(1)).squeeze(1))


class Swish(Body):
    """Swish as a product, each way round; a gate of another input is none."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x * torch.sigmoid(x)
        y = self.second(x)
        return self.last(y.sigmoid().mul(y) + y * torch.sigmoid(x))


# Each with how many activations it calls as functions.
STYLES: dict[type[nn.Module], int] = {
    ByFunctions: 2,
    ByMethods: 2,
    InPlace: 2,
    Shared: 2,
    Mixed: 1,
    OtherInTraining: 3,
    OtherSlope: 2,
    Swish: 2,
    Transformer: 1,
}


def task(style: Callable[[ModelSpec], nn.Module]) -> Problem:
    return problem_of(Task(data=frame(), model=style))


def built(problem: Problem, recipe: Recipe) -> nn.Module:
    return problem.build(recipe, 0, ALL_ROWS)[1]


def outputs(problem: Problem, body: nn.Module, *, training: bool = False) -> Tensor:
    front, _, _ = problem.build(plain(), 0, ALL_ROWS)
    with torch.no_grad():
        return copy.deepcopy(body).train(training)(front(problem.examples.inputs))


@pytest.mark.parametrize("style", STYLES)
def test_they_are_found_and_what_is_predicted_stays(style: type[nn.Module]) -> None:
    problem = task(style)
    facts = problem.facts()
    assert isinstance(facts.module, Adapter)
    assert facts.module.calls is not None
    assert len(facts.module.calls) == STYLES[style]
    plain_ = built(problem, plain())
    seen = revealed(copy.deepcopy(plain_), facts.sample, [])
    names = [name for name, _ in plain_.named_parameters()]
    assert [name for name, _ in seen.named_parameters()] == names  # weights keep their names
    for training in (False, True):
        torch.testing.assert_close(
            outputs(problem, seen, training=training), outputs(problem, plain_, training=training)
        )


@pytest.mark.parametrize("style", STYLES)
def test_every_one_is_exchanged_in_training_and_evaluation(style: type[nn.Module]) -> None:
    """Partial swaps are wrong models: with hyperbolic tangents everywhere, nothing is as it was."""
    problem = task(style)
    body = built(problem, plain(activation={"function": "tanh"}))
    kept = [
        m for name in activations(body) if not isinstance(m := body.get_submodule(name), nn.Tanh)
    ]
    assert not kept
    calls = {"tanh": 0}
    real = torch.tanh

    def counting(x: Tensor) -> Tensor:
        calls["tanh"] += 1
        return real(x)

    expected = {Shared: 5, OtherInTraining: 2, Mixed: 2, Transformer: 1}.get(style, 2)
    for training in (False, True):
        calls["tanh"] = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "tanh", counting)
            outputs(problem, body, training=training)
        assert calls["tanh"] == expected


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "tables",
    [
        {"activation": {"function": "prelu"}},
        {"dropout": {"rate": 0.3}, "activation": {"function": "silu"}},
        {"batch_norm": {}},
        {"layer_norm": {}, "parametric_activation": {}},
    ],
    ids="+".join,
)
def test_they_train_fused_as_serial_and_export(
    style: type[nn.Module], tables: dict[str, dict[str, object]]
) -> None:
    problem = task(style)
    facts = problem.facts()
    reasons = [r for name in tables if (r := technique(name).fits(facts))]
    if reasons:
        assert style in (Shared, Transformer)  # of unlike shapes, or normalized already
        assert all("shape" in r or "normalizes" in r or "neither" in r for r in reasons)
        return
    recipe = plain(**tables)
    members = [member(recipe, seed) for seed in (0, 1)]
    both = []
    for stepper in (FusedStepper(), SerialStepper()):
        population = Population(problem, members, stepper)
        population.advance(6)
        both.append(population.predict(problem.examples, ALL_ROWS))
    torch.testing.assert_close(both[0], both[1], rtol=1e-3, atol=1e-4)
    trained = untrained(problem, recipe, 0, ALL_ROWS)
    graph = trained.graph(problem.examples.take(ALL_ROWS[:4]))
    assert check_parity(trained, graph, problem.examples) < 1e-4
    assert not np.allclose(both[0][0], both[0][1], atol=1e-3)  # members differ


class Dropping(Body):
    """Functional dropout as it should be, as it should not, and in place."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(F.relu(self.first(x)), 0.4, self.training)
        x = self.second(x)
        F.dropout2d(x[..., None, None], p=0.2, training=self.training, inplace=True)
        return self.last(F.dropout(x, 0.0))  # which drops whatever the module does


def test_functional_dropout_is_dropout() -> None:
    problem = task(Dropping)
    facts = problem.facts()
    found = {name: m for name, m in facts.module.named_modules() if isinstance(m, KeyedDropout)}
    assert {name: (float(m.rate), m.channels) for name, m in found.items()} == {
        "calls.module:dropout0": (pytest.approx(0.4), False),
        "calls.module:dropout2d0": (pytest.approx(0.2), True),
    }
    assert refusal(technique("dropout"), facts) is None
    body = built(problem, plain(dropout={"rate": 0.5}))
    assert [float(m.rate) for m in dropouts(body)] == [0.5, 0.5]
    assert not torch.equal(outputs(problem, body, training=True), outputs(problem, body))
    for stepper in (FusedStepper(), SerialStepper()):  # keys decide, not who trains beside it
        members = [member(plain(dropout={"rate": rate}), 0) for rate in (0.1, 0.5)]
        both, alone = (Population(problem, each, stepper) for each in (members, members[1:]))
        for one in (both, alone):
            one.advance(3)
        torch.testing.assert_close(
            both.predict(problem.examples, ALL_ROWS)[1],
            alone.predict(problem.examples, ALL_ROWS)[0],
        )


class Passing(Body):
    """Hands its layer's rate on to attention, and leaves rows out by numbers that it draws."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> dict[str, object]:
        x = self.first(x)
        heads = x.view(-1, 1, 4, 4)
        rate = self.drop.p if self.training and not self.drop.inplace else 0.0
        x = x + F.scaled_dot_product_attention(heads, heads, heads, dropout_p=rate).flatten(1)
        if self.training:
            kept = torch.rand((x.shape[0], 1), dtype=x.dtype, device=x.device).add(0.8).floor()
            x = x * kept + torch.empty_like(x).bernoulli_(0.5)
        logits = self.last(self.drop(F.relu(self.second(x))))
        return {"logits": logits, "cache": Held()}


class Held:
    """What a network keeps for later, and what equals nothing."""

    def __eq__(self, _: object) -> bool:
        raise RuntimeError("it cannot be compared")

    __hash__ = None  # type: ignore[assignment]


def test_what_draws_in_training_draws_by_keys() -> None:
    problem = task(Passing)
    facts = problem.facts()
    assert [type(each) for each in dropouts(facts.module)] == [KeyedDropout, KeyedScores]
    draws = [m for m in facts.module.modules() if isinstance(m, KeyedDraw)]
    assert [each.name for each in draws] == ["rand", "bernoulli_"]
    recipe = plain(dropout={"rate": 0.5})
    assert [float(m.rate) for m in dropouts(built(problem, recipe))] == [0.5, 0.5]
    members = [member(recipe, seed) for seed in (0, 1)]
    losses = [Population(problem, members, s()).advance(3) for s in (FusedStepper, SerialStepper)]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"is_causal": True, "scale": 0.7},
        {"attn_mask": torch.tensor([[True, False, True], [False, True, True]])},
        {"attn_mask": torch.tensor([[0.5, -1.0, 0.0], [2.0, 0.0, -3.0]]), "dropout_p": 0.2},
        {"enable_gqa": True},
    ],
    ids=str,
)
def test_scores_that_are_not_dropped_are_those_of_pytorch(given: dict[str, object]) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 4, 2, 5), torch.randn(2, 4, 3, 5), torch.randn(2, 4, 3, 6)
    if "enable_gqa" in given:
        key, value = key[:, :2], value[:, :2]
    expected = F.scaled_dot_product_attention(query, key, value, **{**given, "dropout_p": 0.0})  # type: ignore[arg-type]
    for training in (True, False):
        layer = KeyedScores(0.0).train(training)
        torch.testing.assert_close(layer(query, key, value, **given), expected)


def test_scores_are_dropped_at_their_rate() -> None:
    layer, eye = KeyedScores(0.25), torch.eye(40).expand(1, 20, 40, 40)
    seen = layer(torch.zeros(1, 20, 40, 3), torch.zeros(1, 20, 40, 3), eye)  # all look at all alike
    assert torch.allclose(seen[seen > 0], torch.tensor(1 / 40 / 0.75))
    assert 0.23 < float((seen == 0).float().mean()) < 0.27  # of 32,000: 8 deviations


@pytest.mark.parametrize(
    ("call", "mean"),
    [
        (lambda: torch.rand(50, 80), 0.5),
        (lambda: torch.rand((50, 80), dtype=torch.float64), 0.5),
        (lambda: torch.rand_like(torch.zeros(50, 80)), 0.5),
        (lambda: torch.randn(50, 80) + 1.0, 1.0),
        (lambda: torch.randn_like(torch.zeros(50, 80)) + 1.0, 1.0),
        (lambda: torch.bernoulli(torch.full((50, 80), 0.2)), 0.2),
        (lambda: torch.zeros(50, 80).bernoulli(0.7), 0.7),
        (lambda: torch.zeros(50, 80).bernoulli_(0.7), 0.7),
    ],
)
def test_drawn_numbers_are_as_pytorch_draws_them(call: Callable[[], Tensor], mean: float) -> None:
    expected = call()

    class ByKey(TorchFunctionMode):
        def __torch_function__(self, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            layer = keyed(f, kwargs or {})
            return (layer or f)(*args, **(kwargs or {}))

    with ByKey():
        drawn, again = call(), call()
    assert (drawn.shape, drawn.dtype) == (expected.shape, expected.dtype)
    assert abs(float(drawn.mean()) - mean) < 0.07  # 4,000 numbers: at least 4 deviations
    assert torch.equal(drawn, again)


def test_the_baseline_is_left_as_it_is() -> None:
    body = built(task(ByFunctions), plain())
    assert isinstance(body, Adapter)
    assert body.calls is None


def test_gates_are_no_activations() -> None:
    class Gated(Body):
        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.last(torch.tanh(x) * torch.sigmoid(x))

    facts = task(Gated).facts()
    assert "count as gates" in str(technique("activation").fits(facts))


def test_a_module_that_raises_is_whole_afterwards() -> None:
    class Raises(Body):
        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.first(x))
            if len(x) == 3:
                raise ValueError("three rows")
            return self.last(F.relu(self.second(x)))

    problem = task(Raises)
    body = built(problem, plain(activation={"function": "gelu"}))
    before = outputs(problem, body)
    front, _, _ = problem.build(plain(), 0, ALL_ROWS)
    with pytest.raises(ValueError, match="three rows"), torch.no_grad():
        body(front(problem.examples.take(ALL_ROWS[:3]).inputs))
    assert torch.equal(outputs(problem, body), before)
    with torch.no_grad():
        assert torch.equal(body.eval()(front(problem.examples.inputs)), before)
