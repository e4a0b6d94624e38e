"""Layers that people write out: known by what they compute, and only where it is the same."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from problems import ALL_ROWS, images, member, plain, problem_of, words
from torch import Tensor, nn
from torch.nn import functional as F
from user_nets_of_images import Affine, LayerNorm2d, OwnGELU, OwnNorms
from user_nets_of_sequences import GPT, AnnotatedNorm, BiasedLayerNorm, RMSNorm

from pawl.models import AlongChannels, DeviationNorm, OwnActivation, RootNorm, duplicate
from pawl.models.written import put, written
from pawl.task import Task
from pawl.techniques import refusal, technique
from pawl.training.population import Population
from pawl.training.serial import SerialStepper

VECTORS = torch.randn(4, 5, 12, generator=torch.Generator().manual_seed(0))
MAPS = torch.randn(4, 12, 3, 5, generator=torch.Generator().manual_seed(0))


class By(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Product(nn.Module):
    """A linear layer as people write it, `x W + b`, or `x W' + b`."""

    def __init__(self, units: int, *, turned: bool, bias: bool = True) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(12, units) if turned else torch.randn(units, 12))
        self.b = nn.Parameter(torch.randn(units)) if bias else None
        self.turned, self.units = turned, units

    def forward(self, x: Tensor) -> Tensor:
        y = torch.mm(x.flatten(0, -2), self.w if self.turned else self.w.t())
        y = y.view(*x.shape[:-1], self.units)
        return y if self.b is None else y + self.b


class Scaled(Product):
    """Its weights are not used as they are."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Bent(nn.Module):
    """What it writes out are its linear layers alone."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.act = Product(20, turned=True), nn.GELU()
        self.narrow, self.head = Turned(20, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)[:, :12]
        return self.head(x + self.narrow(self.act(self.wide(x))))


class Turned(nn.Module):
    """`x W` with no bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


def one(module: nn.Module, x: Tensor) -> nn.Module:
    """Returns what takes a module's place, its weights perturbed."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Identity(), module).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(torch.rand_like(weight))
    before = net(x)
    put(net, written(net, lambda m: m(x)))
    torch.testing.assert_close(net(x), before, rtol=1e-3, atol=1e-4)
    return net[1]


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (OwnGELU(), nn.GELU),
        (By(lambda x: x * torch.sigmoid(x)), nn.SiLU),
        (By(lambda x: x * torch.tanh(F.softplus(x))), nn.Mish),
        (By(lambda x: torch.maximum(x, torch.zeros_like(x))), nn.ReLU),
        (By(lambda x: x * torch.sigmoid(1.702 * x)), OwnActivation),
        (By(lambda x: F.relu(x) ** 2), OwnActivation),
        (AnnotatedNorm(12), DeviationNorm),
        (BiasedLayerNorm(12, bias=False), nn.LayerNorm),
        (RMSNorm(12), nn.RMSNorm),
        (By(lambda x: x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()), nn.RMSNorm),
        (By(lambda x: x / (x.square().mean(-1, keepdim=True).sqrt() + 1e-4)), RootNorm),
        (Product(5, turned=True), nn.Linear),
        (Product(12, turned=True), nn.Linear),  # square: values tell which way it is
        (Product(12, turned=False), nn.Linear),
        (Product(7, turned=False, bias=False), nn.Linear),
    ],
)
def test_layers_that_are_known(module: nn.Module, kind: type[nn.Module]) -> None:
    made = one(module, VECTORS)
    assert type(made) is kind
    assert sum(x.numel() for x in made.parameters()) == sum(x.numel() for x in module.parameters())


def test_a_linear_layer_keeps_its_weight_where_it_lies_alike() -> None:
    for turned in (False, True):
        net = nn.Sequential(Product(5, turned=turned))
        weight = net[0].w
        state = torch.get_rng_state()
        put(net, written(net, lambda m: m(VECTORS)))
        assert torch.equal(torch.get_rng_state(), state)
        assert (net[0].weight is weight) != turned
        assert net[0].weight.shape == (5, 12)


@pytest.mark.parametrize("name", ["width", "low_rank_adapters", "initialization"])
def test_what_is_for_linear_layers_is_for_those_that_are_written_out(name: str) -> None:
    body = Bent()
    weights = {n: x.clone() for n, x in body.state_dict().items()}
    given = {"weights": weights} if name == "low_rank_adapters" else {}
    problem = problem_of(Task(data=images(), model=Bent, **given))
    facts = problem.facts()
    assert refusal(technique(name), facts) is None
    recipe = plain().with_(name)
    built = problem.build(recipe, 0, ALL_ROWS)[1]
    shapes = [tuple(x.shape) for x in built.parameters()]
    assert shapes != [tuple(x.shape) for x in body.parameters()]
    losses = Population(problem, [member(recipe, 0)], SerialStepper()).advance(2)
    assert bool(losses.isfinite().all())


def test_a_shift_that_is_not_there_is_not_made() -> None:
    assert one(BiasedLayerNorm(12, bias=False), VECTORS).bias is None
    assert one(AnnotatedNorm(12), VECTORS).eps == 1e-6
    norm = nn.Sequential(BiasedLayerNorm(12, bias=True))
    weight = norm[0].weight
    put(norm, written(norm, lambda m: m(VECTORS)))
    assert norm[0].weight is weight  # the same tensor, not a copy


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_a_norm_by_the_deviation_computes_what_was_written(scale: float) -> None:
    own = AnnotatedNorm(12, eps=3e-4)  # which is among no usual ones
    made, x = one(own, VECTORS), scale * VECTORS.double()
    assert isinstance(made, DeviationNorm)
    expected = made.weight * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 3e-4)
    torch.testing.assert_close(made.double()(x), expected + made.bias, rtol=1e-9, atol=1e-9)
    same = torch.zeros(2, 12, dtype=torch.float64, requires_grad=True)
    made(same).sum().backward()
    assert same.grad is not None
    assert bool(same.grad.isfinite().all())  # of a root at 0


@pytest.mark.parametrize("groups", [None, 3])
def test_normalizations_of_maps(groups: int | None) -> None:
    class Grouped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.zeros(12))

        def forward(self, x: Tensor) -> Tensor:
            parts = x.reshape(len(x), 4, -1)
            std, mean = torch.std_mean(parts, -1, keepdim=True, correction=0)
            normal = ((parts - mean) / (std.square() + 1e-5).sqrt()).reshape(x.shape)
            return normal * (1 + self.gain[:, None, None])

    made = one(Grouped() if groups else LayerNorm2d(12), MAPS)
    if groups:
        assert isinstance(made, nn.GroupNorm)
        assert made.num_groups == 4
        assert made.weight.min() > 1  # one more than what the module has
        return
    assert isinstance(made, AlongChannels)
    assert isinstance(made.inner, nn.LayerNorm)


@pytest.mark.parametrize(
    "module",
    [
        Affine(12),
        By(lambda x: x.softmax(-1)),
        By(lambda x: F.normalize(x, dim=-1)),  # to length one, not to a mean square of one
        By(lambda x: x - x.mean(-1, keepdim=True)),
        By(lambda x: 3 * x),
        By(lambda x: x + torch.rand_like(x)),
        By(lambda x: x.cumsum(1)),
        Scaled(5, turned=True),
    ],
)
def test_others_are_left(module: nn.Module) -> None:
    net = nn.Sequential(module).eval()
    assert written(net, lambda m: m(VECTORS)) == {}


def test_what_acts_in_training_alone_is_left() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x) * (2.0 if self.training else 1.0)

    assert written(nn.Sequential(Noisy()), lambda m: m(VECTORS)) == {}


@pytest.mark.parametrize(("net", "data"), [(GPT, words), (OwnNorms, images)])
def test_networks_that_write_out_their_layers_can_be_changed(
    net: type[nn.Module], data: Callable[[], object]
) -> None:
    problem = problem_of(Task(data=data(), model=net))  # type: ignore[arg-type]
    sample, given = problem.facts().sample, problem.builder(0).eval()
    shown = problem.facts().module.eval()
    before, after = given(sample), shown(sample)
    if isinstance(before, tuple):
        before, after = before[0], after[0]
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    recipe = plain().without("standardize").with_("activation", function="mish").with_("rms_norm")
    body = problem.build(recipe, 0, ALL_ROWS)[1]
    kinds = [type(module) for module in body.modules()]
    assert kinds.count(nn.Mish) == 2
    assert nn.LayerNorm not in kinds
    assert OwnGELU not in kinds


def test_copies_have_functions_of_their_own() -> None:
    problem = problem_of(Task(data=words(), model=GPT))
    body, sample = problem.builder(0).eval(), problem.facts().sample
    for copied in (copy.deepcopy(body), duplicate(body)):
        before = body(sample)[0]
        with torch.no_grad():
            nn.init.normal_(copied.module.transformer.h[0].mlp.c_proj.weight)
        assert torch.equal(body(sample)[0], before)
        assert not torch.allclose(copied(sample)[0], before)
