"""What models start from: the same weights for every member, and a head of each one's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from problems import images, member, plain, problem_of
from torch import Tensor, nn
from torch.nn import functional as F

from pawl.errors import TaskError
from pawl.models import Layout, is_pretrained
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.problem import Problem


class Net(nn.Module):
    """Its last layer is registered first."""

    def __init__(self, channels: int = 3, outputs: int = 10) -> None:
        super().__init__()
        self.fc = nn.Linear(8, outputs)
        self.conv1 = nn.Conv2d(channels, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 8, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(F.relu(self.conv2(x)).mean((2, 3)))


def learned() -> nn.Module:
    """As a user loads one that was trained before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Net()


WEIGHTS = learned().state_dict()


def problem(**fields: Any) -> Problem:
    return problem_of(Task(**{"data": images(), "model": Net, **fields}))


@pytest.fixture(scope="module")
def given() -> Problem:
    return problem(weights=WEIGHTS)


@pytest.fixture(scope="module")
def brought() -> Problem:
    return problem(model=learned)


def built(task: Problem, recipe: Recipe, seed: int) -> dict[str, Tensor]:
    one = member(recipe, seed)
    return dict(task.build(recipe, seed, one.train)[1].named_parameters())


@pytest.mark.parametrize("which", ["given", "brought"])
def test_members_share_the_body_and_have_heads_of_their_own(
    which: str, request: pytest.FixtureRequest
) -> None:
    task: Problem = request.getfixturevalue(which)
    one, same, other = (built(task, plain(), seed) for seed in (1, 1, 2))
    assert torch.equal(one["module.conv2.weight"], WEIGHTS["conv2.weight"])
    assert torch.equal(
        one["module.conv1.weight"], WEIGHTS["conv1.weight"].sum(1, keepdim=True)
    )  # gray images
    for name, tensor in one.items():
        assert torch.equal(tensor, same[name])
        assert torch.equal(tensor, other[name]) == (not name.startswith("module.fc."))
    assert one["module.fc.weight"].shape == (3, 8)
    (note,) = task.notes
    assert "fc is new, with 3 output(s)" in note
    assert task.pretrained


def test_what_was_loaded_is_said(given: Problem) -> None:
    (note,) = given.notes
    assert "the weights given: 100.0% of the body loaded (8 of 8 tensors)" in note
    assert "conv1.weight summed from 3 input channels to 1" in note


def test_a_model_that_starts_at_random_needs_the_right_outputs_itself() -> None:
    with pytest.raises(TaskError, match="Given groups=1"):
        problem()
    with pytest.raises(TaskError, match="the model returned shape"):
        problem(model=lambda: Net(1, 10))
    assert problem(model=lambda: Net(1, 3)).notes == ()


def test_layers_count_in_the_order_in_which_they_run(given: Problem) -> None:
    layout = Layout.of(given.builder(0))
    places = dict(zip(layout.names, layout.layers, strict=True))
    names = ("conv1", "bn1", "conv2", "fc")
    assert [places[f"module.{name}.weight"] for name in names] == [0, 1, 2, 3]
    depths = layout.views(layout.depths())
    assert depths["module.fc.bias"].tolist() == [1.0] * 3
    assert depths["module.conv2.weight"].unique().tolist() == pytest.approx([2 / 3])


def test_from_scratch_does_not_load_what_is_given(given: Problem) -> None:
    recipe = plain().with_("from_scratch")
    one, other = (built(given, recipe, seed) for seed in (1, 2))
    assert not torch.equal(one["module.conv2.weight"], WEIGHTS["conv2.weight"])
    assert not torch.equal(one["module.conv2.weight"], other["module.conv2.weight"])
    assert torch.equal(given.builder(1).module.conv2.weight, WEIGHTS["conv2.weight"])
    _, body, _ = given.build(recipe.with_("dropout"), 1, member(recipe).train)
    assert not is_pretrained(body)


def test_from_scratch_draws_anew_what_a_model_came_with(brought: Problem) -> None:
    recipe = plain().with_("from_scratch")
    one, other = (built(brought, recipe, seed) for seed in (1, 2))
    assert not torch.equal(one["module.conv2.weight"], WEIGHTS["conv2.weight"])
    assert not torch.equal(one["module.conv2.weight"], other["module.conv2.weight"])


def test_what_is_frozen_is_held_once(given: Problem) -> None:
    recipe = (
        plain().with_("linear_probe").with_("flip")
    )  # without images that change only features are
    both = Population(given, [member(recipe, seed) for seed in (1, 2)], FusedStepper())
    assert set(both.shared) == {
        f"module.{name}" for name in WEIGHTS if not name.startswith("fc.") and "bn1.r" not in name
    } - {"module.bn1.num_batches_tracked"}
    assert both.layout.names == ("module.fc.weight", "module.fc.bias")


def test_most_of_a_body_must_match_unless_it_need_not() -> None:
    part = {name: x for name, x in WEIGHTS.items() if not name.startswith("conv2")}
    with pytest.raises(TaskError, match=r"not in it: conv2\.weight, conv2\.bias"):
        problem(weights=part)
    (note,) = problem(weights=part, allow_partial=True).notes
    assert "not in it: conv2.weight, conv2.bias" in note
    with pytest.raises(TaskError, match="for starting from weights"):
        problem(allow_partial=True)


def test_weights_alone_need_the_model_that_they_are_of() -> None:
    pixels, targets = images()
    with pytest.raises(TaskError, match="come without a model"):
        problem_of(Task(data=(pixels, targets), weights=WEIGHTS))


def test_weights_of_arrays_and_other_digits_are_cast() -> None:
    halves = {name: x.half().numpy() if x.is_floating_point() else x for name, x in WEIGHTS.items()}
    task = problem(weights=halves, model=lambda: Net(1, 3))
    found = built(task, plain(), 0)["module.conv2.bias"]
    assert found.dtype == torch.float32
    assert np.allclose(found.detach(), WEIGHTS["conv2.bias"], atol=1e-3)
