"""Normalization of users' networks: all of it or none, by kinds that are defined where they stand."""

from __future__ import annotations

import pytest
import torch
from problems import ALL_ROWS, images, plain, problem_of
from torch import nn
from user_nets import NETS
from user_nets_of_images import NETS as MORE

from pawl.models import AlongLast
from pawl.task import Task
from pawl.techniques import refusal, technique
from pawl.training.problem import Problem

BARE = plain().without("standardize")


def of(net: str) -> Problem:
    return problem_of(Task(data=images(), model={**NETS, **MORE}[net]))


def body(net: str, technique_: str) -> nn.Module:
    return of(net).build(BARE.with_(technique_), 0, ALL_ROWS)[1]


def test_vectors_have_groups_of_units() -> None:
    made = [m for m in body("lenet", "group_norm").modules() if isinstance(m, nn.GroupNorm)]
    assert not any(isinstance(m, nn.LayerNorm) for m in body("lenet", "group_norm").modules())
    x = torch.randn(7, made[-1].num_channels)
    groups = made[-1](x).view(7, made[-1].num_groups, -1)
    assert groups.shape[-1] >= 8  # of two numbers signs alone would be left
    torch.testing.assert_close(groups.mean(-1), torch.zeros(groups.shape[:2]), rtol=0, atol=1e-5)


def test_a_norm_of_steps_has_groups_of_units() -> None:
    made = [m for m in body("stock_vit", "group_norm").modules() if isinstance(m, AlongLast)]
    assert {(m.inner.num_groups, m.inner.num_channels) for m in made} == {(2, 16)}


def test_instance_norm_leaves_activations_of_vectors() -> None:
    seen = [m for m in body("lenet", "instance_norm").modules() if isinstance(m, nn.GroupNorm)]
    assert [m.num_groups for m in seen] == [m.num_channels for m in seen]
    assert not any(isinstance(m, nn.LayerNorm) for m in body("lenet", "instance_norm").modules())
    activations = [m for m in body("lenet", "instance_norm").modules() if isinstance(m, nn.ReLU)]
    assert len(activations) > len(seen) > 0


def test_an_exchange_that_would_be_partial_is_refused_by_address() -> None:
    reason = refusal(technique("instance_norm"), of("convnext").facts())
    assert reason == "'module.norm' normalizes vectors, of which nothing would be left"


@pytest.mark.parametrize("name", ["group_norm", "squeeze_excite", "self_attention"])
def test_gated_units_are_places_but_no_activations(name: str) -> None:
    problem = of("gated_convs")
    assert refusal(technique(name), problem.facts()) is None
    made = problem.build(BARE.with_(name).with_("activation", function="gelu"), 0, ALL_ROWS)[1]
    (gate,) = [n for n, m in made.named_modules() if isinstance(m, nn.GLU)]
    assert len(made.get_submodule(gate.rpartition(".")[0])) == 2  # beside what was put around it
    assert not any(isinstance(m, nn.ELU) for m in made.modules())
