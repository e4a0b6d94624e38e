"""Heads with hidden units, shared blocks, networks without normalization, attention for recurrence."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from problems import ALL_ROWS, images, member, plain, problem, problem_of
from torch import Tensor, nn
from user_nets import NETS, VGG, ResNet

from pawl.data import ModelSpec
from pawl.deployment.export import check_parity
from pawl.models.attending import AttendingRows
from pawl.models.scaling import Scaling, without_normalizing
from pawl.task import Task
from pawl.techniques import technique
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.problem import Problem
from pawl.training.serial import SerialStepper
from pawl.training.trained import untrained

BARE = plain().without("standardize")


def of(net: Any) -> Problem:
    return problem_of(Task(data=images(), model=net))


def outputs(given: Problem, **techniques: dict[str, Any]) -> Tensor:
    recipe = BARE
    for name, settings in techniques.items():
        recipe = recipe.with_(name, **settings)
    body = given.build(recipe, 3, ALL_ROWS)[1].eval()
    with torch.no_grad():
        found: Tensor = body(given.facts().sample)
    return found


@pytest.mark.parametrize("net", ["resnet", "stock_vit", "lstm"])
def test_a_hidden_head_starts_by_adding_nothing(net: str) -> None:
    given = of(NETS[net])
    torch.testing.assert_close(outputs(given, hidden_head={}), outputs(given))


def test_a_hidden_head_trains_its_units() -> None:
    population = Population(
        problem("table"), [member(plain().with_("hidden_head", units=8))], FusedStepper()
    )
    views = population.layout.views
    before = {name: x.clone() for name, x in views(population.state.weights).items()}
    population.advance(8)
    after = views(population.state.weights)
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert {"out.hidden.weight", "out.out.weight"} <= set(changed)


def test_a_linear_layer_whose_weights_others_use_gets_no_hidden_units() -> None:
    class Tied(nn.Module):
        def __init__(self, spec: ModelSpec) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 64)
            self.two.weight = self.one.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.two(torch.relu(self.one(x.flatten(1))))[:, :3]

    assert "shares none" in str(technique("hidden_head").fits(of(Tied).facts()))


def test_shared_blocks_have_one_set_of_weights_and_normalizations_of_their_own() -> None:
    given = of(ResNet)
    plainly, sharing = (
        given.build(recipe, 0, ALL_ROWS)[1] for recipe in (BARE, BARE.with_("shared_blocks"))
    )
    count = [sum(w.numel() for w in net.parameters()) for net in (plainly, sharing)]
    assert count[1] < count[0]
    kinds = [
        sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (plainly, sharing)
    ]
    assert kinds[0] == kinds[1]
    norms = [m.weight for m in sharing.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len({id(w) for w in norms}) == len(norms)


def test_shared_blocks_train_fused_as_serial_and_stay_shared() -> None:
    members = [member(plain().with_("shared_blocks"), seed) for seed in (0, 1)]
    both = [
        Population(problem("stack"), members, each) for each in (FusedStepper(), SerialStepper())
    ]
    torch.testing.assert_close(*(one.advance(5) for one in both), rtol=1e-4, atol=1e-5)
    _, trained = both[0].whole(0)
    hidden = [m for m in trained.modules() if isinstance(m, nn.Linear) and m.in_features == 16]
    assert torch.equal(hidden[0].weight, hidden[1].weight)


@pytest.mark.parametrize("net", ["resnet", "vgg", "mobilenet"])
def test_learned_batch_normalization_goes_and_predictions_stay(net: str) -> None:
    def learned(spec: ModelSpec) -> nn.Module:
        torch.manual_seed(2)
        module = NETS[net](spec)
        for each in module.modules():
            if isinstance(each, nn.BatchNorm2d):
                nn.init.uniform_(each.weight, 0.5, 2.0)
                nn.init.normal_(each.bias)
                each.running_mean.normal_()
                each.running_var.uniform_(0.5, 2.0)
        return module

    given = of(learned)
    assert given.facts().pretrained
    torch.testing.assert_close(
        outputs(given, normalization_free={}), outputs(given), rtol=1e-4, atol=1e-5
    )


def test_learned_layer_normalization_stays() -> None:
    def learned(spec: ModelSpec) -> nn.Module:
        torch.manual_seed(2)
        return NETS["vit"](spec)

    assert "of each row" in str(technique("normalization_free").fits(of(learned).facts()))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(6), (5, 6)),
        (nn.BatchNorm2d(6, affine=False), (5, 6, 3, 3)),
        (nn.InstanceNorm2d(6), (5, 6, 3, 3)),
        (nn.GroupNorm(2, 6), (5, 6, 4)),
        (nn.LayerNorm((4, 6)), (5, 4, 6)),
        (nn.RMSNorm(6), (5, 4, 6)),
    ],
)
def test_what_a_normalization_leaves_is_its_scale_and_shift(
    layer: nn.Module, shape: tuple[int, ...]
) -> None:
    for weight in layer.parameters():
        nn.init.normal_(weight)
    left = without_normalizing(layer, len(shape))
    layer.eval()
    ones = torch.ones(shape)
    assert left(ones).shape == ones.shape
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        torch.testing.assert_close(left(ones), layer(ones))
    elif getattr(layer, "bias", None) is not None:  # of equal numbers nothing but the shift is left
        torch.testing.assert_close(left(torch.zeros(shape)), layer(torch.zeros(shape)))


def test_nothing_normalizes_any_more() -> None:
    body = of(VGG).build(BARE.with_("normalization_free"), 0, ALL_ROWS)[1]
    assert not [m for m in body.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m for m in body.modules() if isinstance(m, Scaling)]


def test_scales_without_normalization_start_by_what_layers_see() -> None:
    """One by one: behind the first everything sees what that says now."""
    facts, one = of(NETS["resnet"]).facts(), technique("normalization_free")
    body = one.apply(copy.deepcopy(facts.module), one.settings(), facts.sample).eval()
    said: list[Tensor] = []
    for each in body.modules():
        if isinstance(each, Scaling):
            each.register_forward_hook(lambda _, args, y: said.append(y.detach().clone()))
    body(facts.sample)
    assert len(said) == 10
    for y in said:
        torch.testing.assert_close(y.mean(), torch.tensor(0.0), rtol=0, atol=1e-4)
        torch.testing.assert_close(y.std(correction=0), torch.tensor(1.0), rtol=1e-4, atol=0)


class Repeated(nn.Module):
    """One block, called three times."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.first = nn.Linear(64, 8)
        self.block = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
        self.out = nn.Linear(8, spec.num_outputs)
        self.added = False

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1).float())
        for _ in range(3):
            x = x + self.block(x) if self.added else self.block(x)
        return self.out(x)


def test_a_block_that_is_called_again_is_one_part_in_all_calls() -> None:
    given = of(Repeated)
    for name in ("blocks", "residual", "shared_blocks"):
        assert (technique(name).fits(given.facts()) is None) == (name != "shared_blocks")
    body = given.build(BARE, 3, ALL_ROWS)[1].eval()
    for each in body.modules():
        if isinstance(each, Repeated):
            each.added = True
    with torch.no_grad():
        by_hand = body(given.facts().sample)
    torch.testing.assert_close(outputs(given, residual={}), by_hand)
    members = [member(BARE.with_("blocks"), seed) for seed in (0, 1)]
    losses = [Population(given, members, s).advance(2) for s in (FusedStepper(), SerialStepper())]
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("rows_first", [False, True])
def test_attention_returns_what_a_recurrent_layer_would(
    kind: Any, both: bool, rows_first: bool
) -> None:
    layer = kind(5, 6, num_layers=2, bidirectional=both, batch_first=rows_first)
    x = torch.randn((3, 7, 5) if rows_first else (7, 3, 5))
    mine, theirs = AttendingRows(layer)(x), layer(x)
    shapes = [
        [part.shape for part in torch.utils._pytree.tree_leaves(each)] for each in (mine, theirs)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("both", [False, True])
def test_attention_of_one_direction_looks_back_alone(both: bool) -> None:
    net = AttendingRows(nn.GRU(5, 8, batch_first=True, bidirectional=both)).eval()
    x = torch.randn(2, 6, 5)
    later = x.clone()
    later[:, 4:] += 1.0
    one, other = net(x)[0], net(later)[0]
    assert torch.equal(one[:, :4], other[:, :4]) != both
    assert not torch.equal(one[:, 4:], other[:, 4:])
    torch.testing.assert_close(net(x)[1][0], one[:, -1, :8])  # the last state is of the last step


def test_attention_in_place_of_recurrence_fuses_and_exports() -> None:
    given = problem("recurrent")
    recipe = BARE.with_("recurrent_attention")
    both = [
        Population(given, [member(recipe, seed) for seed in (0, 1)], each)
        for each in (FusedStepper(), SerialStepper())
    ]
    torch.testing.assert_close(*(one.advance(3) for one in both), rtol=1e-4, atol=1e-5)
    trained = untrained(given, recipe, 0, ALL_ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = trained.graph(given.examples.take(ALL_ROWS[:4]))
    assert check_parity(trained, graph, given.examples.take(ALL_ROWS)) < 1e-4


def test_a_recurrent_layer_that_is_given_its_state_stays() -> None:
    class Given(nn.Module):
        def __init__(self, spec: ModelSpec) -> None:
            super().__init__()
            self.gru, self.out = nn.GRU(8, 4, batch_first=True), nn.Linear(4, spec.num_outputs)

        def forward(self, x: Tensor) -> Tensor:
            start = torch.zeros(1, len(x), 4)
            return self.out(self.gru(x[:, 0], start)[0][:, -1])

    reason = str(technique("recurrent_attention").fits(of(Given).facts()))
    assert "'module.gru' is given a state" in reason


def test_data_dependent_weights_make_each_layer_deviate_by_one() -> None:
    given = of(VGG)
    recipe = BARE.with_("initialization", method="data_dependent")
    body = given.build(recipe, 0, ALL_ROWS)[1]
    seen: dict[str, float] = {}
    names = {
        layer: name
        for name, layer in body.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    }

    def noted(layer: nn.Module, _: object, y: Tensor) -> None:
        seen[names[layer]] = float(y.std(correction=0))

    for layer in names:
        layer.register_forward_hook(noted)
    with torch.no_grad():
        body.eval()(given.facts().sample)
    *inner, last = seen.values()
    assert len(inner) > 2
    assert all(0.7 < deviation < 1.4 for deviation in inner), (
        inner
    )  # of other rows than it was made by
    assert last != pytest.approx(1.0, abs=0.05)
