"""Warm starts: the best recipes of another campaign's ledger."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pawl.errors import LedgerError, RecipeError, TaskError, option
from pawl.ledger import Ledger
from pawl.recipe import Recipe
from pawl.search.ranking import best_first
from pawl.search.starts import baseline, within
from pawl.techniques import Facts
from pawl.training.problem import Problem

_COUNT = 3


def task_record(problem: Problem) -> dict[str, str]:
    """Returns what a ledger keeps of its campaign's task, for others that start from it."""
    direction = "maximize" if problem.objective.sign > 0 else "minimize"
    kind, modality = problem.schema.kind, problem.modality.name
    return {"kind": kind, "modality": modality, "direction": direction}


def warm_recipes(
    folder: str | Path,
    facts: Facts,
    task: dict[str, str],
    only: Collection[str] | None = None,
) -> list[Recipe]:
    """Returns the best recipes of another campaign's search, each structure's best, as they fit here.

    They are tried first, before the recipes that are known to be good, and are only a start: they are
    trained and compared anew. Techniques that do not fit here, or are not among `only`, are left out.

    Args:
        folder: The other campaign's.
        facts: Of the task here.
        task: Of the task here, as `task_record` has it.
        only: Names of the techniques that may come in.

    Raises:
        LedgerError: There is no campaign in the folder, or another process has it.
        TaskError: It is on another sort of task, or has no trial that ended.
    """
    with Ledger.open(Path(folder)) as ledger:
        theirs: dict[str, Any] | None = ledger.identity.get("task")
        trials = ledger.trials("search")
    if theirs is None:
        raise LedgerError(
            f"{str(folder)!r} holds no campaign of pawl optimize that could be started from; give the "
            f"folder of another to {option('warm_start')}"
        )
    for name in ("kind", "modality"):
        if theirs[name] != task[name]:
            raise TaskError(
                f"the campaign in {str(folder)!r} is on another sort of task ({theirs[name]}, and here "
                f"{task[name]}); start from one on {task['modality']} with a {task['kind']} target"
            )
    found: dict[str, Recipe] = {}
    for trial in best_first(trials, 1.0 if theirs["direction"] == "maximize" else -1.0):
        try:
            recipe = within(Recipe.from_dict(trial.recipe), baseline(facts), facts, only)
        except RecipeError:  # a technique that was registered there
            continue
        found.setdefault(recipe.structure, recipe)
        if len(found) == _COUNT:
            break
    if not found:
        raise TaskError(
            f"the search of the campaign in {str(folder)!r} has no trial that ended; start from "
            "another"
        )
    return list(found.values())
