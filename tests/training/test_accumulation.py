"""Gradients in parts: the large batch's, in the memory of a part."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from problems import ALL_ROWS, frame, member, plain, problem, problem_of
from torch import Tensor, nn

from pawl.errors import RecipeError
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.training.fused import FusedStepper
from pawl.training.population import Population, Stepper
from pawl.training.serial import SerialStepper

STEPPERS = [FusedStepper, SerialStepper, lambda: FusedStepper(backend="eager", width=2)]
STEPS = 12


def trained(kind: str, recipe: Recipe, stepper: Stepper) -> Population:
    population = Population(problem(kind), [member(recipe, s) for s in (1, 2)], stepper)
    losses = population.advance(STEPS)
    assert losses.isfinite().all()
    return population


@pytest.mark.parametrize("stepper", STEPPERS, ids=["fused", "serial", "traced"])
@pytest.mark.parametrize(
    ("kind", "more", "pieces"),
    [
        ("table", {}, 2),
        ("table", {"adamw": {}, "class_weights": {}, "layer_norm": {}, "cosine": {}}, 5),
        # Parts of one row each.
        (
            "regression",
            {"mixup": {}, "l1": {}, "sharpness_aware": {}, "batch_size": {"size": 4}},
            4,
        ),
        ("images", {"cutmix": {}, "label_smoothing": {}}, 3),
    ],
)
def test_parts_add_up_to_the_large_batch(
    kind: str, more: dict[str, Any], pieces: int, stepper: Any
) -> None:
    recipe = plain(**more)
    whole = trained(kind, recipe, stepper())
    cut = trained(kind, recipe.with_("gradient_accumulation", steps=pieces), stepper())
    torch.testing.assert_close(cut.state.weights, whole.state.weights, rtol=0, atol=1e-5)
    found, expected = (one.predict(one.problem.examples, ALL_ROWS) for one in (cut, whole))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


class Watched(nn.Module):
    """A user's model that notes how many rows it is given while it trains."""

    seen: list[int]

    def __init__(self, spec: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(spec.num_features, spec.num_outputs)
        self.seen = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen.append(len(x))
        return self.linear(x)


def test_a_model_is_never_given_more_than_a_part() -> None:
    recipe = plain().with_("gradient_accumulation", steps=5)
    population = Population(
        problem_of(Task(data=frame(), model=Watched)), [member(recipe)], SerialStepper()
    )
    population.advance(2)
    (watched,) = (m for m in population.body.modules() if isinstance(m, Watched))
    assert watched.seen[-10:] == [6, 6, 7, 6, 7] * 2


def test_batch_normalization_has_the_statistics_of_parts() -> None:
    recipe = plain().with_("batch_norm")
    cut = recipe.with_("gradient_accumulation", steps=2)
    both = [trained("table", cut, stepper()) for stepper in STEPPERS[:2]]
    torch.testing.assert_close(both[0].state.weights, both[1].state.weights, rtol=0, atol=2e-3)
    assert not torch.allclose(
        both[0].state.weights, trained("table", recipe, FusedStepper()).state.weights, atol=1e-3
    )


def test_a_batch_of_all_rows_is_gradient_descent_and_does_not_depend_on_their_order() -> None:
    recipe = plain().with_("sgd", learning_rate=0.1).with_("batch_size", size=4096)
    cut = recipe.with_("gradient_accumulation", steps=4)
    one, other = member(recipe, 1), member(cut, 1)
    populations = [Population(problem("table"), [each], FusedStepper()) for each in (one, other)]
    for population in populations:
        assert population.steps_per_epoch.tolist() == [1]
        population.advance(8)
    torch.testing.assert_close(
        populations[0].state.weights, populations[1].state.weights, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("loss", ["trimmed_loss", "hard_examples", "curriculum"])
def test_losses_that_choose_among_a_batchs_rows_are_excluded(loss: str) -> None:
    with pytest.raises(RecipeError, match="exclude each other"):
        plain().with_("gradient_accumulation").with_(loss)
