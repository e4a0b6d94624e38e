"""Channels of a user's module: which can have other numbers, and that the function stays."""

from __future__ import annotations

import copy

import pytest
import torch
from problems import ALL_ROWS, images, plain, problem_of
from torch import Tensor, nn
from torch.nn import functional as F
from user_nets import NETS, BasicBlock

from pawl.data import ModelSpec
from pawl.models.widening import resize, widths
from pawl.task import Task
from pawl.techniques import refusal, technique

X = {"x": torch.randn(5, 6, generator=torch.Generator().manual_seed(0))}
MAPS = {"x": torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))}


class Called(nn.Module):
    """Takes the inputs as they are."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.net(inputs["x"])


def perturbed(module: nn.Module) -> nn.Module:
    """As after training: normalizations have scales, shifts and statistics."""
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand_like(tensor))
    return module.eval()


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("factor", [1.5, 2])
def test_wider_networks_keep_their_function(name: str, factor: float) -> None:
    torch.manual_seed(0)
    problem = problem_of(Task(data=images(), model=NETS[name]))
    facts = problem.facts()
    module = perturbed(copy.deepcopy(facts.module))
    before = module(facts.sample)
    found = widths(module, facts.sample)
    resize(module, found, lambda size: round(size * factor), preserve=True)
    torch.testing.assert_close(module(facts.sample), before, rtol=1e-4, atol=1e-5)
    for each in found.channels.layers:
        weight = getattr(module.get_submodule(each), "weight", None)
        if weight is not None and weight.dim() == 2 and weight.shape[1] > 8:
            columns = weight.T.unique(dim=0)
            assert len(columns) == weight.shape[1]  # copies are told apart from the first step on


def test_sizes_and_what_belongs_together() -> None:
    net = Called(
        nn.Sequential(nn.Conv2d(3, 8, 3), BasicBlock(8, 8), nn.Flatten(), nn.Linear(288, 2))
    )
    found = widths(net, MAPS)
    groups = found.channels.free()
    assert {tuple(names): found.sizes[group] for group, names in groups.items()} == {
        ("net.0", "net.1.conv2"): 8, ("net.1.conv1",): 8,
    }  # fmt: skip
    torch.manual_seed(0)
    resize(net, found, lambda size: size // 2, preserve=False)
    assert [tuple(p.shape) for p in net.parameters() if p.dim() == 4] == [
        (4, 3, 3, 3), (4, 4, 3, 3), (4, 4, 3, 3),
    ]  # fmt: skip
    assert net.net[3].in_features == 144
    assert net(MAPS).shape == (5, 2)


def test_drawn_weights_are_like_those_before() -> None:
    torch.manual_seed(0)
    net = Called(nn.Sequential(nn.Linear(6, 400), nn.LayerNorm(400), nn.Linear(400, 200)))
    nn.init.normal_(net.net[2].weight, 0.0, 0.3)
    resize(net, widths(net, X), lambda size: 4 * size, preserve=False)
    assert net.net[2].weight.std().item() == pytest.approx(0.15, rel=0.02)  # four times the fan-in
    assert torch.equal(net.net[1].weight, torch.ones(1600))


def test_narrower_learned_layers_keep_the_largest() -> None:
    net = Called(nn.Sequential(nn.Linear(6, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False)))
    with torch.no_grad():
        net.net[0].weight.mul_(torch.tensor([[1e-4], [1.0], [1e-4], [2.0]]))
    before = net(X)
    resize(net, widths(net, X), lambda size: size // 2, preserve=True)
    assert net.net[0].weight.shape == (2, 6)
    torch.testing.assert_close(net(X), before, rtol=0, atol=1e-3)


class Refused(nn.Module):
    """Each way to use channels that cannot be followed."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.first, self.last = nn.Linear(6, 8), nn.Linear(4 if way == "glu" else 8, 2)
        self.register_buffer("scale", torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if self.way == "glu":
            x = F.glu(x)
        elif self.way == "softmax":
            x = torch.softmax(x, -1)
        elif self.way == "buffer":
            x = x * self.scale
        elif self.way == "view":
            x = x.reshape(-1, 2, 4).flatten(1)
        elif self.way == "weights":
            x = x + self.first.weight.mean()
        elif self.way == "numpy":
            x = x + float(x.detach().numpy().mean())
        return self.last(F.relu(x))


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("glu", "'net:glu0'"),
        ("softmax", "'net:softmax0'"),
        ("buffer", "'net:mul0' with others that are fixed"),
        ("view", "'net:reshape0'"),
        ("weights", "are used in another place"),
        ("numpy", "predicts otherwise"),  # a mean that some units have a larger share in
    ],
)
def test_what_cannot_be_followed_is_named(way: str, reason: str | None) -> None:
    found = widths(Called(Refused(way)), X)
    assert not found.sizes
    assert reason in found.reasons["net.first"]


class Again(nn.Module):
    """Calls one layer twice, and a recurrent one behind it."""

    def __init__(self, kind: type[nn.RNNBase], *, both: bool) -> None:
        super().__init__()
        self.first, self.again = nn.Linear(6, 5), nn.Linear(5, 5)
        self.norm = nn.LayerNorm(5)
        self.recurrent = kind(5, 4, 2, batch_first=True, bidirectional=both)
        self.last = nn.Linear(8 if both else 4, 2)
        self.state = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        for _ in range(2):
            x = x + F.relu(self.norm(self.again(x)))
        x, state = self.recurrent(x.unsqueeze(1).expand(-1, 3, -1))
        state = state[0] if isinstance(state, tuple) else state
        return self.last(x[:, -1]) + self.state(state[-1])


@pytest.mark.parametrize(("kind", "both"), [(nn.LSTM, False), (nn.GRU, True), (nn.RNN, False)])
def test_layers_that_are_called_again_and_recurrent_ones(
    kind: type[nn.RNNBase], both: bool
) -> None:
    torch.manual_seed(0)
    net = Called(Again(kind, both=both))
    before = net(X)
    found = widths(net, X)
    assert sorted(found.sizes.values()) == [4, 5]
    fresh = copy.deepcopy(net)
    resize(net, found, lambda size: 2 * size, preserve=True)
    assert (net.net.recurrent.input_size, net.net.recurrent.hidden_size) == (10, 8)
    assert net.net.again.weight.shape == (10, 10)
    torch.testing.assert_close(net(X), before, rtol=1e-4, atol=1e-5)
    rows = net.net.recurrent.weight_hh_l1.T.unique(dim=0)
    assert len(rows) == 8  # copies are told apart from the first step on
    for size in (2, 12):
        again = copy.deepcopy(fresh)
        resize(again, found, lambda _, size=size: size, preserve=size < 4)
        assert again.net.recurrent.weight_ih_l0.shape[1] == size
        assert again(X).isfinite().all()


def test_weights_along_channels_that_no_layer_has() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 2)
            self.scale = nn.Parameter(torch.rand(1, 8))
            self.shift = nn.Parameter(torch.rand(8))

        def forward(self, x: Tensor) -> Tensor:
            return self.last(F.relu(self.first(x) * self.scale + self.shift))

    net = Called(Scaled())
    before = net(X)
    resize(net, widths(net, X), lambda size: size + 3, preserve=True)
    assert (net.net.scale.shape, net.net.shift.shape) == ((1, 11), (11,))
    torch.testing.assert_close(net(X), before)


def test_what_does_not_show_in_calls_is_found_by_proof() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.other = nn.Linear(6, 8), nn.Linear(6, 8)
            self.last, self.out = nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.first(x)
            more = torch.tensor(y.tolist()).sum(1, keepdim=True).to(y.dtype)
            return self.out(self.last(y.relu()).relu()) + more

    found = widths(Called(Hidden()), X)
    assert list(found.sizes.values()) == [8]
    assert "predicts otherwise" in found.reasons["net.first"]


def test_frozen_layers_stay() -> None:
    def half(spec: ModelSpec) -> nn.Module:
        net = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(),
            nn.Linear(16, spec.num_outputs),
        )  # fmt: skip
        net[1].requires_grad_(False)
        return net

    problem = problem_of(Task(data=images(), model=half))
    body = problem.build(plain(width={"factor": 2.0}), 0, ALL_ROWS)[1].module
    assert (body[1].out_features, body[3].out_features) == (16, 32)


def test_models_that_came_with_weights_are_widened_without_loss() -> None:
    torch.manual_seed(3)
    learned = perturbed(NETS["resnet"](ModelSpec((), 3, "classification")))

    problem = problem_of(Task(data=images(), model=lambda: copy.deepcopy(learned)))
    facts = problem.facts()
    assert facts.pretrained
    assert refusal(technique("width"), facts) is None
    recipe = plain().without("standardize")
    predicted = [
        problem.build(each, 0, ALL_ROWS)[1].eval()(facts.sample)
        for each in (recipe, recipe.with_("width", factor=2.0))
    ]
    torch.testing.assert_close(*predicted, rtol=1e-4, atol=1e-5)
