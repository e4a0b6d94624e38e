"""Parts of users' networks that keep shapes: found, added, taken out, wrapped."""

from __future__ import annotations

import copy

import pytest
import torch
from problems import ALL_ROWS, images, member, plain, problem_of
from torch import Tensor, nn
from torch.nn import functional as F
from user_nets import MLP, NETS, VGG, ResNet, StockViT

from pawl.data import ModelSpec
from pawl.models import LayerScale, Skip, StochasticDepth, duplicate
from pawl.models.blocks import no_parts, parts
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.techniques import refusal, technique
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.problem import Problem
from pawl.training.serial import SerialStepper

BARE = plain().without("standardize")
SPEC = ModelSpec((), 3, "classification")


def of(model: object) -> Problem:
    return problem_of(Task(data=images(), model=model))  # type: ignore[arg-type]


def learned(net: type[nn.Module]) -> Problem:
    """A model that comes with weights, as after training."""
    torch.manual_seed(3)
    given = net(SPEC)
    with torch.no_grad():
        for tensor in [*given.parameters(), *given.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand_like(tensor))
    return of(lambda: duplicate(given))


def outputs(problem: Problem, recipe: Recipe) -> Tensor:
    with torch.no_grad():
        return problem.build(recipe, 0, ALL_ROWS)[1].eval()(problem.facts().sample)


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        ("mlp", {"net.3": False, "net.5": False}),
        ("resnet", {"layer1.0": True, "layer1.1": True, "layer2.1": True}),
        ("stock_vit", {"blocks.0": True, "blocks.1": True}),
        ("vgg", {"features.3": False, "features.10": False}),
        ("squeezenet", {"features.4": False}),
        ("unet", {}),
    ],
)
def test_parts_that_keep_shapes(net: str, expected: dict[str, bool]) -> None:
    facts = of(NETS[net]).facts()
    found = parts(facts.module, facts.sample)
    assert {part.name.removeprefix("module."): part.residual for part in found} == expected


@pytest.mark.parametrize("net", [ResNet, StockViT, MLP, NETS["mobilenet"], NETS["convnext"]])
def test_blocks_that_are_added_start_by_returning_their_input(net: type[nn.Module]) -> None:
    problem = learned(net)
    before = outputs(problem, BARE)
    torch.testing.assert_close(outputs(problem, BARE.with_("blocks", change=2)), before)
    more = problem.build(BARE.with_("blocks", change=2), 0, ALL_ROWS)[1]
    fewer = problem.build(BARE, 0, ALL_ROWS)[1]
    counts = [sum(isinstance(m, nn.Linear | nn.Conv2d) for m in b.modules()) for b in (more, fewer)]
    assert counts[0] > counts[1]


def test_added_layers_learn() -> None:
    population = Population(of(ResNet), [member(BARE.with_("blocks"), 0)], FusedStepper())
    names = [name for name in population.layout.names if "layer1.2.inner.conv1" in name]
    before = {n: x.clone() for n, x in population.layout.views(population.state.weights).items()}
    population.advance(4)
    after = population.layout.views(population.state.weights)
    assert names
    assert all(not torch.equal(before[name], after[name]) for name in names)


def test_the_block_that_matters_least_goes() -> None:
    torch.manual_seed(0)
    given = MLP(SPEC)
    with torch.no_grad():  # the first of two does nothing to what is not negative
        nn.init.eye_(given.net[3].weight)
        nn.init.zeros_(given.net[3].bias)
    problem = of(lambda: copy.deepcopy(given))
    recipe = BARE.with_("blocks", change=-1)
    torch.testing.assert_close(outputs(problem, recipe), outputs(problem, BARE))
    body = problem.build(recipe, 0, ALL_ROWS)[1].module
    assert sum(isinstance(m, nn.Linear) for m in body.modules()) == 3


class Attributes(nn.Module):
    """Blocks are attributes; one takes more than its input, and one calls a lambda."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.inp = nn.Linear(64, 8)
        self.block1, self.block2 = Extra(8), Extra(8)
        self.out = nn.Linear(8, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inp(x.flatten(1))
        return self.out(self.block2(self.block1(x, 2.0), by=3.0))


class Extra(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = layer = nn.Linear(width, width)
        self.run = lambda x: torch.relu(layer(x))

    def forward(self, x: Tensor, by: float) -> Tensor:
        return x + by * self.run(x)


def test_blocks_that_are_attributes() -> None:
    problem = learned(Attributes)
    facts = problem.facts()
    found = {part.name: part.residual for part in parts(facts.module, facts.sample)}
    assert found == {"module.block1": True, "module.block2": True}
    before = outputs(problem, BARE)
    more = problem.build(BARE.with_("blocks", change=1), 0, ALL_ROWS)[1]
    assert sum(type(m) is Extra for m in more.modules()) == 3
    torch.testing.assert_close(outputs(problem, BARE.with_("blocks", change=1)), before)
    for name in ("layer_scale", "stochastic_depth"):
        torch.testing.assert_close(outputs(problem, BARE.with_(name)), before)
    fewer = problem.build(BARE.with_("blocks", change=-1), 0, ALL_ROWS)[1]
    assert sum(type(m) is Extra for m in fewer.modules()) == 1
    # A copy's lambda calls the copy: all that is there trains.
    population = Population(of(Attributes), [member(BARE.with_("blocks"), 0)], FusedStepper())
    start = population.state.weights.clone()
    population.advance(4)
    assert (population.state.weights != start).float().mean() > 0.9


class Numbered(nn.Module):
    """Layers with numbers, and functions around them; one is called twice."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.fc1, self.fc2, self.bn2 = nn.Linear(64, 8), nn.Linear(8, 8), nn.BatchNorm1d(8)
        self.again, self.out = nn.Linear(8, 8), nn.Linear(8, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.dropout(F.leaky_relu(self.bn2(self.fc2(x)), 0.2), 0.3, self.training)
        x = torch.relu(self.again(x))
        return self.out(torch.relu(self.again(x)))


@pytest.mark.parametrize("name", ["blocks", "residual"])
def test_layers_that_are_called_one_after_the_other_are_a_part(name: str) -> None:
    problem = learned(Numbered)
    facts = problem.facts()
    (part,) = parts(facts.module, facts.sample)
    assert part.chained
    assert part.children == (
        "module.fc2", "module.bn2", "calls.module:leaky_relu0", "calls.module:dropout0",
    )  # fmt: skip
    recipe = BARE.with_(name).with_("activation", function="gelu")
    before = outputs(problem, BARE.with_("activation", function="gelu"))
    torch.testing.assert_close(outputs(problem, recipe), before)
    assert refusal(technique("stochastic_depth"), facts) is not None
    random = of(Numbered)
    made = random.build(BARE.with_(name), 0, ALL_ROWS)[1].eval()
    x = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        if name == "residual":
            hidden = F.relu(made.module.fc1(x.flatten(1)))
            whole = made.module.fc2
            assert isinstance(whole, Skip)
            torch.testing.assert_close(whole(hidden), hidden + whole.inner(hidden))
        else:
            assert sum(isinstance(m, nn.BatchNorm1d) for m in made.modules()) == 2
    members = [member(BARE.with_(name), seed) for seed in (0, 1)]
    both = [
        Population(random, members, each).advance(3) for each in (FusedStepper(), SerialStepper())
    ]
    torch.testing.assert_close(*both, rtol=1e-3, atol=1e-4)


def test_what_blocks_add_is_scaled_by_channel() -> None:
    body = of(ResNet).build(BARE.with_("layer_scale", start=0.5), 0, ALL_ROWS)[1].eval()
    shapes = [tuple(m.scale.shape) for m in body.modules() if isinstance(m, LayerScale)]
    assert shapes == [(8, 1, 1), (8, 1, 1), (16, 1, 1)]
    block, x = body.module.layer1[0], torch.rand(2, 8, 4, 4)
    with torch.no_grad():
        nn.init.uniform_(block.scale)
        expected = x + block.scale * (block.inner(x.clone()) - x)
        torch.testing.assert_close(block(x), expected)
    (vit,) = {
        tuple(m.scale.shape)
        for m in of(StockViT).build(BARE.with_("layer_scale"), 0, ALL_ROWS)[1].modules()
        if isinstance(m, LayerScale)
    }
    assert vit == (16,)


def test_functions_in_added_blocks_are_seen_by_what_comes_behind() -> None:
    """Each copy has activations of its own."""
    recipe = BARE.with_("blocks", change=1).with_("activation", function="prelu")
    body = of(ResNet).build(recipe, 0, ALL_ROWS)[1]
    assert sum(isinstance(m, nn.PReLU) for m in body.modules()) == 1 + 2 * (3 + 3)


def test_skip_connections_around_parts() -> None:
    problem = of(VGG)
    body = problem.build(BARE.with_("residual"), 0, ALL_ROWS)[1]
    assert [n for n, m in body.named_modules() if isinstance(m, Skip)] == [
        "module.features.3", "module.features.10",
    ]  # fmt: skip
    x = torch.randn(4, 8, 8, 8)
    wrapped = body.module.features[3].eval()
    torch.testing.assert_close(wrapped(x), x + wrapped.inner(x.clone()))
    kept = learned(VGG)
    torch.testing.assert_close(outputs(kept, BARE.with_("residual")), outputs(kept, BARE))


def test_stochastic_depth_leaves_rows_out() -> None:
    block = nn.Linear(3, 3)
    layer = StochasticDepth(block, 1.0, scaled=False)
    layer.rate.fill_(0.25)
    x = torch.randn(4000, 3)
    y = layer(x)
    left = (y == x).all(1)
    assert abs(float(left.float().mean()) - 0.25) < 0.03
    torch.testing.assert_close(y[~left], block(x)[~left])
    torch.testing.assert_close(layer.eval()(x), 0.25 * x + 0.75 * block(x))
    scaled = StochasticDepth(block, 1.0, scaled=True)
    scaled.rate.fill_(0.25)
    mean = torch.stack([_keyed(scaled, k)(x[:50]) for k in range(2000)]).mean(0)
    torch.testing.assert_close(mean, scaled.eval()(x[:50]), rtol=0, atol=0.15)
    torch.testing.assert_close(scaled(x), block(x))


def _keyed(layer: StochasticDepth, key: int) -> StochasticDepth:
    layer.key.fill_(key)
    return layer


def test_rates_rise_to_the_last_block() -> None:
    body = of(ResNet).build(BARE.with_("stochastic_depth", rate=0.3), 0, ALL_ROWS)[1]
    rates = [float(m.rate) for m in body.modules() if isinstance(m, StochasticDepth)]
    assert rates == pytest.approx([0.1, 0.2, 0.3])
    kept = learned(ResNet)
    torch.testing.assert_close(outputs(kept, BARE.with_("stochastic_depth")), outputs(kept, BARE))


def test_what_has_no_such_parts_is_refused_with_the_reason() -> None:
    dense, unet = (of(NETS[net]).facts() for net in ("densenet", "unet"))
    assert no_parts(dense.module, dense.sample) == (
        "'dense1' returns [16, 8, 8] of [8, 8, 8], each row"
    )
    assert "no submodule of several layers" in str(technique("blocks").fits(unet))

    class Indexed(MLP):
        def forward(self, x: Tensor) -> Tensor:
            for number in range(8):
                x = self.net[number](x)
            return x

    problem = of(Indexed)
    facts = problem.facts()
    assert refusal(technique("blocks"), facts) == "it changes nothing of this model"
    assert refusal(technique("residual"), facts) is None  # indices stay


class Unit(nn.Module):
    """Two layers of convolution; keeps the shape, and adds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x))


class Told(nn.Module):
    """A residual block of such units that returns a tuple, and says something of itself."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.kind, self.rest = "told", 0.5
        self.layer, self.drop = nn.Sequential(Unit(), Unit()), nn.Dropout(rate)

    def forward(self, x: Tensor, factor: float) -> tuple[Tensor, Tensor, None]:
        y = x + self.drop(self.layer(x)) * factor
        return y, y.mean((1, 2, 3)), None


class Telling(nn.Module):
    """Looks at its blocks' attributes, and takes the first of what they return."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 4, 1), nn.Linear(4, 3)
        self.blocks = nn.ModuleList(Told(rate) for rate in (0.0, 0.1, 0.2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            assert block.kind == "told"
            x = block(x, factor=block.rest)[0]
        return self.head(x.mean((2, 3)))


def test_blocks_that_return_tuples_and_are_looked_at() -> None:
    facts = of(Telling).facts()
    found = [part.name for part in parts(facts.module, facts.sample)]
    assert found == ["module.blocks.0", "module.blocks.1", "module.blocks.2"]
    names = ("layer_scale", "stochastic_depth", "blocks", "shared_blocks")
    assert [refusal(technique(name), facts) for name in names] == [None] * 4
    problem = learned(Telling)
    before = outputs(problem, BARE)
    recipe = BARE.with_("layer_scale").with_("stochastic_depth").with_("blocks")
    torch.testing.assert_close(outputs(problem, recipe), before)
    body = of(Telling).build(recipe, 0, ALL_ROWS)[1]
    assert len(body.module.blocks) == 4  # one more of a kind: rates make no other kind
    assert sum(isinstance(m, StochasticDepth) for m in body.modules()) == 4


class Half(nn.Module):
    """Adds its input; there are two kinds, one behind the other."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class OtherHalf(Half):
    pass


class Indexed(nn.Module):
    """A block whose layers are in a list, called by their places from either end."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.ModuleList([Half(), OtherHalf()])

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.layer[-1](self.layer[0](x)), None


class ByPlaces(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(64, 8), nn.Linear(8, 3)
        self.block = nn.ModuleList([Indexed(), Indexed()])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1))
        for block in self.block:
            x = block(x)[0]
        return self.head(x)


def test_a_list_of_unlike_layers_is_one_block() -> None:
    problem = of(ByPlaces)
    facts = problem.facts()
    found = [part.name for part in parts(facts.module, facts.sample)]
    assert found == ["module.block.0", "module.block.1"]
    body = problem.build(BARE.with_("blocks"), 0, ALL_ROWS)[1]
    assert [len(body.module.block), len(body.module.block[0].layer)] == [3, 2]
