"""What surgery reaches of networks as people write them, and that what it accepts trains and exports."""

from __future__ import annotations

import copy
import functools
import warnings

import pytest
import torch
from problems import ALL_ROWS, images, member, plain, problem_of
from user_nets import NETS

from pawl.deployment.export import check_parity
from pawl.task import Task
from pawl.techniques import ModelTechnique, refusal, technique, techniques
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.problem import Problem
from pawl.training.serial import SerialStepper
from pawl.training.trained import untrained

BARE = plain().without("standardize")
EVERY = " ".join(NETS)
ACCEPTED = {
    "activation": EVERY,
    "attention_heads": "vit stock_vit",
    "averaged_views": EVERY,
    "batch_norm": "squeezenet convnext vit stock_vit unet mixer lstm tcn mlp",
    "blocks": "resnet vgg mobilenet squeezenet densenet convnext vit stock_vit mixer lstm tcn mlp",
    "channels_last": EVERY,
    "dilation": "resnet vgg mobilenet squeezenet densenet unet",
    "drop_connect": "resnet vgg mobilenet densenet convnext vit stock_vit unet mixer lstm tcn mlp",
    "dropout": EVERY,
    "global_pooling": "vgg",
    "group_norm": EVERY.replace("lstm ", "").replace(" mlp", ""),
    "hidden_head": EVERY.replace("squeezenet ", ""),
    "initialization": EVERY,
    "instance_norm": EVERY.replace("lstm ", "").replace(" mlp", "").replace("convnext ", ""),
    "layer_norm": "resnet vgg mobilenet squeezenet densenet unet lstm tcn mlp",
    "layer_scale": "resnet mobilenet convnext vit stock_vit mixer tcn",
    "normalization_free": "resnet vgg mobilenet densenet convnext vit stock_vit unet mixer",
    "parametric_activation": EVERY,
    "pooling": "vgg squeezenet densenet unet",
    "recurrent_attention": "lstm",
    "residual": "vgg squeezenet densenet lstm mlp",
    "rms_norm": EVERY,
    "self_attention": "resnet vgg mobilenet squeezenet densenet convnext unet mixer lstm tcn",
    "separable": "resnet vgg squeezenet densenet unet tcn",
    "shared_blocks": "resnet mobilenet densenet convnext vit stock_vit mixer tcn mlp",
    "squeeze_excite": EVERY.replace("lstm ", "").replace(" mlp", ""),
    "stochastic_depth": "resnet mobilenet convnext vit stock_vit mixer tcn",
    "width": EVERY,
}
"""For each technique the networks that it can change."""
FUSED_ELSEWHERE = frozenset({"activation", "dropout", "initialization", "parametric_activation"})
"""Techniques that `tests/test_calls.py` trains fused on such networks."""


@functools.cache
def problem(net: str) -> Problem:
    return problem_of(Task(data=images(), model=NETS[net]))


@pytest.mark.parametrize("net", NETS)
def test_what_can_be_changed(net: str) -> None:
    facts = problem(net).facts()
    reasons = {t.name: refusal(t, facts) for t in techniques() if isinstance(t, ModelTechnique)}
    accepted = {name for name, reason in reasons.items() if reason is None}
    assert accepted == {"mixed_precision"} | {
        n for n, nets in ACCEPTED.items() if net in nets.split()
    }
    assert all("\n" not in reason for reason in reasons.values() if reason)


@pytest.mark.parametrize("net", NETS)
def test_what_is_accepted_trains(net: str) -> None:
    """Two steps of a population; its first weights are the same each time, and follow the seed."""
    stepper = SerialStepper if net == "lstm" else FusedStepper  # which vmap cannot take
    for name, nets in ACCEPTED.items():
        if net not in nets.split() or name in FUSED_ELSEWHERE:
            continue
        members = [member(BARE.with_(name), seed) for seed in (0, 1)]
        population = Population(problem(net), members, stepper())
        first = population.state.weights.clone()
        assert population.advance(2).isfinite().all(), name
        again = problem(net).build(members[1].recipe, 1, members[1].train)[1]
        weights = torch.cat([weight.detach().flatten() for weight in again.parameters()])
        assert torch.equal(weights, first[1]), name
        assert not torch.equal(first[0], first[1]), name


@pytest.mark.parametrize("net", ["resnet", "stock_vit"])
def test_all_of_it_at_once_trains_fused_as_serial_and_exports(net: str) -> None:
    recipe = BARE
    for name, nets in ACCEPTED.items():
        one = technique(name)
        if net in nets.split() and not any(
            one.group is not None and one.group == technique(other.name).group
            for other, _ in recipe.of_stage(ModelTechnique)
        ):
            recipe = recipe.with_(name)
    assert len(recipe.of_stage(ModelTechnique)) > 6
    members = [member(recipe, seed) for seed in (0, 1)]
    both = [Population(problem(net), members, each) for each in (FusedStepper(), SerialStepper())]
    losses = [population.advance(3) for population in both]
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-4)
    trained = untrained(problem(net), recipe, 0, ALL_ROWS)
    rows = problem(net).examples.take(ALL_ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = trained.graph(rows.take(ALL_ROWS[:4]))
    assert check_parity(trained, graph, rows) < 1e-4
    body = problem(net).build(recipe, 0, ALL_ROWS)[1].eval()
    sample = problem(net).facts().sample
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(body)(sample), body(sample))
