"""Techniques for models that come with weights, against what they say that they do."""

from __future__ import annotations

import pytest
import torch
from problems import ALL_ROWS, member, plain, problem
from torch import Tensor, nn

from pawl.models import Deployed, LowRank, adapt, freeze, merged, merged_tensors
from pawl.recipe import Recipe
from pawl.techniques import refusal, technique, techniques
from pawl.training.fused import FusedStepper
from pawl.training.population import Population, Stepper
from pawl.training.serial import SerialStepper

STEPPERS = pytest.mark.parametrize("make", [FusedStepper, SerialStepper])
DESCENT = Recipe.of(standardize={}, batch_size={"size": 32}, sgd={"learning_rate": 0.1})


def after(recipe: Recipe, steps: int, make: type[Stepper], kind: str = "pretrained") -> Population:
    trained = Population(problem(kind), [member(recipe, seed) for seed in (1, 2)], make())
    if steps:
        trained.advance(steps)
    return trained


def weights(trained: Population) -> dict[str, Tensor]:
    return trained.layout.views(trained.state.weights)


@STEPPERS
def test_a_step_of_descent_is_scaled_layer_by_layer(make: type[Stepper]) -> None:
    start = weights(after(DESCENT, 0, make))
    whole = weights(after(DESCENT, 1, make))
    part = weights(after(DESCENT.with_("discriminative_rates", first=0.25), 1, make))
    for name, share in (("module.0.weight", 0.25), ("module.2.weight", 1.0)):
        moved = whole[name] - start[name]
        assert moved.abs().max() > 1e-4
        assert torch.allclose(part[name] - start[name], share * moved, atol=1e-7)


@STEPPERS
def test_first_layers_wait_for_their_turn(make: type[Stepper]) -> None:
    recipe = DESCENT.with_("gradual_unfreezing", until=0.5)
    start = weights(after(recipe, 0, make))
    # 8 passes of 3 steps: the first layer trains from the 13th step on.
    waiting, trains = weights(after(recipe, 12, make)), weights(after(recipe, 13, make))
    assert torch.equal(waiting["module.0.weight"], start["module.0.weight"])
    assert not torch.equal(waiting["module.2.weight"], start["module.2.weight"])
    assert not torch.equal(trains["module.0.weight"], start["module.0.weight"])


@STEPPERS
def test_weights_are_drawn_back_and_the_last_layer_is_not(make: type[Stepper]) -> None:
    start, plainly = weights(after(DESCENT, 0, make)), weights(after(DESCENT, 1, make))
    drawn = weights(after(DESCENT.with_("l2_sp", strength=4.0), 1, make))
    first, last = "module.0.weight", "module.2.weight"
    back = plainly[first] - 0.1 * 4.0 * (plainly[first] - start[first])
    assert torch.allclose(drawn[first], back, atol=1e-7)
    assert torch.equal(drawn[last], plainly[last])


@STEPPERS
def test_a_probe_moves_nothing_but_the_last_layer(make: type[Stepper]) -> None:
    trained = after(plain().with_("linear_probe"), 0, make, "pretrained_images")
    assert trained.layout.names == ("module.classifier.3.weight", "module.classifier.3.bias")
    buffers = {name: x.clone() for name, x in trained.whole(0)[1].named_buffers()}
    before = trained.state.weights.clone()
    trained.advance(3)
    assert not torch.equal(trained.state.weights, before)
    for name, tensor in trained.whole(0)[1].named_buffers():  # the statistics among them
        assert torch.equal(buffers[name], tensor)


@STEPPERS
def test_statistics_stay_and_scales_train(make: type[Stepper]) -> None:
    recipe = plain().with_("frozen_normalization")
    trained = after(recipe, 0, make, "pretrained_images")
    start = {name: x.clone() for name, x in weights(trained).items()}
    trained.advance(3)
    assert not trained.state.buffers["module.features.1.running_mean"].any()
    moved = weights(trained)["module.features.1.weight"] - start["module.features.1.weight"]
    assert bool((moved != 0).any())
    free = after(plain(), 3, make, "pretrained_images")
    assert bool(free.state.buffers["module.features.1.running_mean"].all())


def test_low_rank_products_leave_nothing_behind_in_what_is_merged() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    x = torch.randn(5, 2, 4, 4)
    before, names = net(x), set(net.state_dict())
    for layer in (net[0], net[2]):
        adapt(layer, "weight", 2)
    assert torch.equal(net(x), before)  # the function is kept at first
    freeze(net)
    trained = {name for name, _ in net.named_parameters()}
    assert {name.rpartition(".")[2] for name in trained} == {"up", "down", "bias"}
    for each in net.modules():
        if isinstance(each, LowRank):
            nn.init.normal_(each.up)
    changed = net(x)
    assert not torch.allclose(changed, before)
    one = merged(net)
    assert torch.allclose(one(x), changed, atol=1e-5)
    assert set(one.state_dict()) == names
    assert type(one[2]) is nn.Linear
    assert torch.allclose(net(x), changed)  # what is trained on is left as it was
    assert merged(one) is one
    tensors = merged_tensors(dict(net.state_dict()))
    assert tensors.keys() == names
    assert torch.allclose(tensors["2.weight"], one[2].weight)


def test_attention_is_adapted_where_its_weights_are_used_without_a_call() -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(3, 4, 8)
    before, _ = attention(x, x, x)
    for layer, name in ((attention, "in_proj_weight"), (attention.out_proj, "weight")):
        adapt(layer, name, 2)
    after_, _ = attention(x, x, x)
    assert torch.allclose(before, after_, atol=1e-6)
    after_.sum().backward()
    ups = [each.up for each in attention.modules() if isinstance(each, LowRank)]
    assert len(ups) == 2
    assert all(up.grad is not None and bool(up.grad.any()) for up in ups)


def test_a_graph_with_merged_products_is_the_size_of_one_without() -> None:
    task, rows = problem("pretrained"), ALL_ROWS[:4]
    graphs = []
    for recipe in (plain(), plain().with_("low_rank_adapters")):
        front, body, fitted = task.build(recipe, 0, ALL_ROWS)
        model = Deployed(task.schema, front, body, fitted.target_mean, fitted.target_std)
        from pawl.models import to_onnx

        graphs.append(to_onnx(model, task.examples.take(rows)))
    assert abs(len(graphs[0]) - len(graphs[1])) < 64


def test_each_is_for_models_that_come_with_weights() -> None:
    mine = [t for t in techniques() if t.family == "transfer"]
    assert len(mine) == 8
    for each in mine:
        assert "random weights" in str(refusal(each, problem("own_model").facts()))
        kind = "pretrained_images" if "norm" in each.name else "pretrained"
        assert refusal(each, problem(kind).facts()) is None
    assert "batch normalization" in str(
        technique("frozen_normalization").fits(problem("pretrained").facts())
    )


def test_they_are_among_the_starts_where_weights_are_given() -> None:
    from pawl.search import baseline, starts

    names = [t.name for t in techniques() if t.family == "transfer"]
    for kind, wanted in (("pretrained_images", 6), ("own_images", 0)):
        facts = problem(kind).facts()
        tried = starts(baseline(facts), facts)
        assert len({n for n in names for recipe in tried if n in recipe}) == wanted
