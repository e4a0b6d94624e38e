"""What reaches a last layer that alone trains: kept, and the same as if computed in each step."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from problems import ALL_ROWS, member, plain, problem
from torch import Tensor

from pawl.recipe import Recipe
from pawl.training.features import Features, Head
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.serial import SerialStepper
from pawl.training.stepper import Stepper

PROBE = plain().with_("linear_probe")
STEPPERS = pytest.mark.parametrize("make", [FusedStepper, SerialStepper])


def probed(
    make: type[Stepper],
    recipe: Recipe = PROBE,
    *,
    kept: bool = True,
    seeds: tuple[int, ...] = (0, 1),
) -> Population:
    """Members whose inputs are scaled by rows of their own, so that each has features of its own."""
    given = [member(recipe, seed) for seed in seeds]
    if kept:
        return Population(problem("pretrained_images"), given, make())
    with mock.patch.object(Features, "of", return_value=None):
        return Population(problem("pretrained_images"), given, make())


def told(population: Population) -> tuple[Tensor, Tensor, Tensor]:
    examples = population.problem.examples
    own = torch.stack([each.valid for each in population.members])
    some = examples.take(ALL_ROWS[:20])
    return (
        population.predict(examples, ALL_ROWS),
        population.predict(examples, own),
        population.predict(some, ALL_ROWS[:20], members=[1]),
    )


@STEPPERS
def test_kept_features_train_as_those_that_are_computed_anew(make: type[Stepper]) -> None:
    both = [probed(make, kept=kept) for kept in (True, False)]
    assert isinstance(both[0].body, Head)
    assert both[0].layout == both[1].layout
    for each in both:
        each.advance(5)
    torch.testing.assert_close(*(each.state.weights for each in both), rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(*(told(each) for each in both), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_members_come_and_go() -> None:
    both = [probed(FusedStepper, kept=kept, seeds=(0, 1, 2)) for kept in (True, False)]
    for each in both:
        each.advance(2)
        each.keep([2, 0])
        each.admit([member(PROBE, 5)])
        each.inherit(0, 1, PROBE)
        each.advance(2)
    torch.testing.assert_close(*(each.state.weights for each in both), rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(*(told(each) for each in both), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_the_body_runs_once_for_each_row() -> None:
    with mock.patch.object(
        Features, "_computed", autospec=True, side_effect=Features._computed
    ) as ran:
        population = probed(SerialStepper)
        population.advance(6)
        told(population)
    known = [call for call in ran.call_args_list if call.args[1] is population.problem.examples]
    assert len(known) == 2  # one for each member, whose inputs are scaled by its own rows


@pytest.mark.parametrize("name", ["flip", "squeeze_excite", "mixup"])
def test_features_that_change_are_not_kept(name: str) -> None:
    assert probed(SerialStepper, PROBE.with_(name)).features is None
    assert probed(SerialStepper, plain().with_("low_rank_adapters")).features is None
    assert probed(SerialStepper, plain()).features is None
