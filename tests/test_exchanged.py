"""Layers that take the place of others: what they compute, where they go, and what is kept."""

from __future__ import annotations

import copy

import pytest
import torch
from problems import ALL_ROWS, Words, frame, images, member, plain, problem, problem_of, words
from torch import Tensor, nn
from torch.nn import functional as F
from user_nets import NETS, VGG

from pawl.data import ModelSpec
from pawl.models import (
    AlongChannels,
    AlongLast,
    BlurPool2d,
    ChannelRMSNorm,
    KeyedDropout,
    MapAttention,
    PooledLinear,
    dropouts,
)
from pawl.models.axes import channel_axis
from pawl.models.operations import traced
from pawl.task import Task
from pawl.techniques import technique
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.problem import Problem

BARE = plain().without("standardize")
MAPS = torch.randn(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("apart", [False, True])
def test_what_takes_the_place_of_a_layer_returns_what_can_be_viewed(apart: bool) -> None:
    """As the layer did: a network may view it as another shape."""
    x = torch.randn(2, 5, 4)
    along = AlongLast(nn.BatchNorm1d(4), apart=apart)(x)
    assert along.view(-1, 4).shape == (10, 4)
    expected = nn.BatchNorm1d(4)(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(along, expected)
    assert AlongChannels(nn.LayerNorm(5))(x).view(2, -1).shape == (2, 20)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 2, 0), (3, 3, 1)]
)
def test_blurred_pooling_has_the_shape_of_the_plain_one(
    kernel: int, stride: int, padding: int, ceil: bool
) -> None:
    pooled = BlurPool2d(kernel, stride, padding, ceil=ceil)(MAPS)
    assert pooled.shape == F.max_pool2d(MAPS, kernel, stride, padding, ceil_mode=ceil).shape
    ones = torch.ones(1, 1, 8, 8)
    assert torch.equal(BlurPool2d(kernel, stride, 0, ceil=ceil)(ones).unique(), torch.ones(1))


def test_blurred_pooling_is_a_maximum_and_a_blur() -> None:
    line = torch.tensor([0.0, 1.0, 0.0, 4.0, 0.0, 0.0]).expand(1, 1, 6, 6)
    top = [1.0, 1.0, 4.0, 4.0, 0.0]  # of two neighbors
    expected = [
        (top[0] * 3 + top[1]) / 4,
        (top[1] + 2 * top[2] + top[3]) / 4,
        (top[3] + 3 * top[4]) / 4,
    ]
    pooled = BlurPool2d(2, 2, 0, ceil=False)(line)
    torch.testing.assert_close(pooled[0, 0, 0], torch.tensor(expected))


def test_a_pooled_head_is_a_layer_of_means() -> None:
    layer = PooledLinear(3, 63, 4, bias=True)
    torch.testing.assert_close(layer(MAPS.flatten(1)), layer.linear(MAPS.mean((2, 3))))


def test_attention_over_a_map() -> None:
    layer = MapAttention(8, 2)
    x = torch.randn(2, 8, 3, 4)
    assert torch.equal(layer(x), x)
    nn.init.constant_(layer.gate, 0.5)
    flat = x.flatten(2).transpose(1, 2)
    looked = F.scaled_dot_product_attention(layer.query(flat), layer.key(flat), layer.value(flat))
    torch.testing.assert_close(layer(x), x + 0.5 * looked.transpose(1, 2).reshape(x.shape))


def test_root_mean_square_of_maps() -> None:
    layer = ChannelRMSNorm(3)
    nn.init.uniform_(layer.weight)
    expected = F.rms_norm(MAPS, MAPS.shape[1:], eps=1e-5) * layer.weight[:, None, None]
    torch.testing.assert_close(layer(MAPS), expected)
    vectors = torch.randn(4, 3)
    torch.testing.assert_close(layer(vectors), F.rms_norm(vectors, (3,), layer.weight, 1e-5))


def built(task: Problem, name: str, **settings: object) -> nn.Module:
    return task.build(BARE.with_(name, **settings), 0, ALL_ROWS)[1]


def of(model: object) -> Problem:
    return problem_of(Task(data=images(), model=model))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "layer"), [("max", nn.MaxPool2d), ("average", nn.AvgPool2d), ("blur", BlurPool2d)]
)
def test_pooling_also_of_functions(kind: str, layer: type[nn.Module]) -> None:
    for net, count in (("vgg", 2), ("unet", 1), ("densenet", 1)):  # a last one to 1 by 1 is left
        body = built(of(NETS[net]), "pooling", kind=kind)
        assert sum(type(m) is layer for m in body.modules()) >= count


def test_learned_heads_are_pooled_by_summing() -> None:
    torch.manual_seed(0)
    given = VGG(ModelSpec((), 3, "classification"))
    body = built(of(lambda: copy.deepcopy(given)), "global_pooling")
    head = body.module.classifier[0]
    weight = given.classifier[0].weight.view(16, 16, 4)
    torch.testing.assert_close(head.linear.weight, weight.sum(-1))
    fresh = built(of(VGG), "global_pooling").module.classifier[0].linear.weight
    assert fresh.std().item() == pytest.approx(2 * weight.std().item(), rel=0.1)


def test_separable_convolutions_are_as_the_standard_ones() -> None:
    body = built(of(VGG), "separable").module
    depthwise, pointwise = body.features[7]
    assert (depthwise.groups, depthwise.kernel_size, depthwise.padding) == (8, (3, 3), (1, 1))
    assert (pointwise.kernel_size, pointwise.out_channels) == ((1, 1), 16)
    assert isinstance(body.features[0], nn.Conv2d)  # of one channel
    given = VGG(ModelSpec((), 3, "classification"))
    facts = of(lambda: copy.deepcopy(given)).facts()
    assert "would be lost" in str(technique("separable").fits(facts))


def test_dilated_convolutions_are_those_that_fit() -> None:
    body = built(of(VGG), "dilation", rate=3).module
    rates = [m.dilation[0] for m in body.modules() if isinstance(m, nn.Conv2d)]
    assert rates == [3, 3, 1, 1]  # maps of 8 by 8, then of 4 by 4
    x = torch.randn(2, 8, 8, 8)
    layer = body.features[3]
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias, 1, 3, 3))


def test_tied_weights_are_one_and_train() -> None:
    task = problem("words")
    recipe = plain().without("standardize").with_("weight_tying")
    body = task.build(recipe, 0, ALL_ROWS)[1].module
    assert body.table.weight is body.last.weight
    population = Population(task, [member(recipe, seed) for seed in (0, 1)], FusedStepper())
    assert "module.last.weight" not in population.layout.names
    start = population.state.weights.clone()
    assert population.advance(3).isfinite().all()
    assert not torch.equal(population.state.weights, start)

    class Unlike(Words):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(8, 16)

    facts = problem_of(Task(data=words(), model=Unlike)).facts()
    assert "shape" in str(technique("weight_tying").fits(facts))


class ChannelsLast(nn.Module):
    """Linear layers over the last axis of maps."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.first = nn.Linear(1, 6)
        self.last = nn.Linear(6, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.gelu(self.first(x.permute(0, 2, 3, 1))).mean((1, 2)))


def test_channels_last_are_told_from_channels_first() -> None:
    task = of(ChannelsLast)
    (drop,) = dropouts(built(task, "dropout"))
    assert isinstance(drop, KeyedDropout)
    assert not drop.channels
    (norm,) = [m for m in built(task, "layer_norm").modules() if isinstance(m, nn.LayerNorm)]
    assert norm.normalized_shape == (6,)
    net = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU())
    x = torch.ones(2, 2, 8)
    trace, _ = traced(net, lambda m: m(x))
    assert channel_axis(trace, trace.results[0]) == 1


def test_root_mean_squares_take_the_place_of_layer_normalization() -> None:
    body = built(of(NETS["vit"]), "rms_norm")
    assert sum(isinstance(m, nn.RMSNorm) for m in body.modules()) == 5
    assert not any(isinstance(m, nn.LayerNorm) for m in body.modules())


class OwnNorm(nn.Module):
    """Layer normalization as many models have it."""

    def __init__(self, width: int, *, bias: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(width))
        self.shift = nn.Parameter(torch.rand(width)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.scale.shape, self.scale, self.shift, 1e-6)


class OwnlyNormalized(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Linear(8, 12), OwnNorm(12, bias=True)
        self.second, self.norm2 = nn.Linear(12, 12), OwnNorm(12, bias=False)
        self.last = nn.Linear(12, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm1(self.first(x.squeeze(1))))
        return self.last(self.norm2(self.second(x)).mean(1))


def test_normalizations_of_the_models_own_are_exchanged() -> None:
    task = of(OwnlyNormalized)
    facts = task.facts()
    given = task.builder(0)
    assert sum(isinstance(m, nn.LayerNorm) for m in facts.module.modules()) == 2
    assert len(list(given.parameters())) == len(list(facts.module.parameters()))
    torch.testing.assert_close(facts.module(facts.sample), given(facts.sample))
    assert technique("layer_norm").fits(facts) == "the model normalizes like that already"
    body = built(task, "rms_norm").module
    assert isinstance(body.norm1, nn.RMSNorm)
    assert isinstance(body.norm2, nn.RMSNorm)


def test_a_head_with_a_hyperbolic_tangent_has_an_activation() -> None:
    class Head(nn.Module):
        def __init__(self, spec: ModelSpec) -> None:
            super().__init__()
            self.first = nn.Linear(spec.num_features, 8)
            self.last = nn.Linear(8, spec.num_outputs)

        def forward(self, x: Tensor) -> Tensor:
            x = F.dropout(torch.tanh(self.first(x)), 0.1, self.training)
            return self.last(x)

    task = problem_of(Task(data=frame(), model=Head))
    body = task.build(plain(activation={"function": "relu"}), 0, ALL_ROWS)[1]
    assert sum(isinstance(m, nn.ReLU) for m in body.modules()) == 1
