"""Snapshots: one training's models at the ends of its cycles, as recipes that blend."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from made_up import BASE, made_up
from problems import member, plain, problem
from torch import Tensor

from pawl.ensembling import candidates, snapshots
from pawl.evidence import Arm, Blend, Single, race
from pawl.recipe import Recipe
from pawl.training.fused import FusedStepper
from pawl.training.population import Member, Population, Stepper
from pawl.training.run import Run
from pawl.training.serial import SerialStepper

CYCLES = plain(cosine_restarts={"cycles": 4, "growth": 1.0})


def until(recipe: Recipe) -> int:
    return int(recipe.settings("cosine_restarts").until)  # type: ignore[attr-defined]


@pytest.mark.parametrize("stepper", [FusedStepper, SerialStepper])
def test_each_has_the_weights_of_the_whole_training_at_its_end(stepper: type[Stepper]) -> None:
    recipes = snapshots(CYCLES)
    assert [until(recipe) for recipe in recipes] == [0, 3, 2, 1]
    run = Run(Population(problem("table"), [member(r, 5) for r in recipes], stepper()))
    found: dict[int, Tensor] = {}
    while len(run.population):
        run.segment()
        done = run.finished()
        for outcome in run.release(done, with_weights=done):
            assert outcome.status == "completed"
            assert outcome.score is not None
            assert outcome.weights is not None
            found[outcome.steps] = outcome.weights
    assert list(found) == [6, 12, 18, 24]
    whole = Population(problem("table"), [member(CYCLES, 5)], stepper())
    for step, weights in found.items():
        whole.advance(step - int(whole.step[0]))
        torch.testing.assert_close(whole.state.weights[0], weights)


def test_which_recipes_have_them() -> None:
    given = BASE.with_("early_stopping").with_("ema").with_("cosine", warmup=0.1)
    whole, *others = snapshots(given)
    assert [name for name, _ in whole.entries] == ["standardize", "cosine_restarts", "adamw"]
    assert [until(recipe) for recipe in others] == [2, 1]
    assert snapshots(others[0]) == (whole, *others), "of one of them it is the same training"
    assert len({recipe.structure for recipe in (whole, *others)}) == 1, "they train together"
    assert snapshots(Recipe.of(extra_trees={})) == ()


def test_a_blend_of_one_training_if_it_is_better_than_the_recipe_by_itself(tmp_path: Path) -> None:
    errors = dict[int, float]()

    def world(recipe: Recipe, _: Member) -> float:
        return errors[until(recipe)] if "cosine_restarts" in recipe else 0.5

    recipes = [BASE, *snapshots(BASE)]
    found = list[list[Arm]]()
    for second in (-1.4, 1.4):
        errors |= {0: 1.0, 2: second, 1: 3.0}
        (folder := tmp_path / str(second)).mkdir()
        with made_up(folder, world) as session:
            found.append(candidates(race(session, recipes, 5), recipes, "snapshots"))
    (blend, *others), (alone, *_) = found
    assert isinstance(blend, Blend)
    assert BASE not in blend.recipes
    assert {until(recipe) for recipe in blend.recipes} >= {0, 2}
    assert Single(BASE) in others
    assert alone == Single(BASE)
