"""Which of a recipe's trainings a report draws."""

from __future__ import annotations

from pathlib import Path

from pawl.ledger import Ledger, TrialRecord
from pawl.recipe import Recipe
from pawl.report.assemble import trainings_of

RECIPE, OTHER = Recipe.of(adamw={}), Recipe.of(momentum={})


def trial(recipe: Recipe, phase: str, epochs: int) -> TrialRecord:
    return TrialRecord(
        phase=phase, role="baseline #0", recipe=recipe.to_dict(), recipe_id=recipe.id, seed=0,
        split="", epochs=epochs, status="completed", score=None, holdout=0.5, steps=1, seconds=1.0,
        reason="", curve=[], extra={},
    )  # fmt: skip


def test_those_that_trained_longer_for_an_equal_time_are_left_out(tmp_path: Path) -> None:
    """The arm without a recipe's only change is the baseline, trained longer for that comparison."""
    usual, longer = trial(RECIPE, "confirm", 8), trial(RECIPE, "confirm", 12)
    tested = trial(RECIPE, "test", 8)
    with Ledger.create(tmp_path / "out", {}) as ledger:
        ledger.record("a", "search", {}, [trial(RECIPE, "search", 8)], 1.0)
        ledger.record("b", "confirm", {}, [usual, trial(OTHER, "confirm", 8)], 1.0)
        ledger.record("c", "confirm", {}, [longer], 1.0)
        ledger.record("d", "test", {}, [tested], 1.0)
        assert trainings_of(ledger, RECIPE) == [usual, tested]
