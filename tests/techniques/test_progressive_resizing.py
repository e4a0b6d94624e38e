"""Images that grow while a model trains."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from problems import ALL_ROWS, member, plain, problem
from torch import Tensor, nn

from pawl.execution import plan
from pawl.techniques import refusal, technique
from pawl.techniques.augmentation.progressive_resizing import resized
from pawl.training.fused import FusedStepper
from pawl.training.population import Population, Stepper
from pawl.training.serial import SerialStepper


def sides(stepper: Stepper, **settings: float) -> list[int]:
    """Returns the sides of the images that the model sees at its steps, then in a prediction."""
    recipe = plain(progressive_resizing=settings)
    trained = Population(problem("any_size"), [member(recipe)], stepper)
    seen: list[int] = []

    def note(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen.append(int(given[0].shape[-1]))

    first: Any = next(m for m in trained.body.modules() if isinstance(m, nn.Conv2d))
    first.register_forward_pre_hook(note)
    trained.advance(int(trained.total))
    trained.predict(trained.problem.examples, ALL_ROWS)
    return seen


@pytest.mark.parametrize("stepper", [SerialStepper, FusedStepper])
def test_images_are_small_at_first_and_whole_from_some_point_on(stepper: type[Stepper]) -> None:
    seen = sides(stepper(), start=0.5, until=0.5)
    assert len(seen) == 24 + 1
    # Of 8 pixels, sides are 4 up to three quarters of them: half of the growth, a quarter of 24 steps.
    assert seen == [4] * 6 + [8] * 19
    assert sides(stepper(), start=0.9, until=0.5) == [8] * 25


def test_shrinking_averages_and_leaves_whole_images_alone() -> None:
    x = torch.rand(2, 3, 16, 12)
    assert resized(x, 1.0) is x
    half = resized(x, 0.5)
    assert half.shape == (2, 3, 8, 8)  # to multiples of four
    torch.testing.assert_close(resized(torch.ones(1, 1, 32, 32), 0.6), torch.ones(1, 1, 20, 20))
    torch.testing.assert_close(half.mean(), x.mean(), rtol=0.02, atol=0)
    assert resized(torch.rand(1, 1, 3, 5), 0.5).shape == (1, 1, 3, 4)


def test_its_structure_is_planned_one_by_one_and_says_why() -> None:
    recipe = plain(progressive_resizing={})
    chosen = plan(problem("any_size"), recipe, member(recipe), timed=False)
    assert chosen.way.mode == "serial"
    assert chosen.reason == "images change their size as a member trains"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("images", "the model takes images of one size"),
        ("own_images", "the model takes images of one size"),
        ("table", "the task has no images"),
    ],
)
def test_a_model_of_one_size_refuses_it_by_name(kind: str, reason: str) -> None:
    told = refusal(technique("progressive_resizing"), problem(kind).facts())
    assert told is not None
    assert told.startswith(reason)
    assert "\n" not in told
