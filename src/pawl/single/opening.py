"""What they share: a session for trainings of some recipes, and paths that stay where they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pawl import pacing
from pawl.data import LoadedData
from pawl.execution import Listener, Session, Silent, pick_device, read_task
from pawl.ledger import Ledger
from pawl.options import RunOptions, is_recorded
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.techniques import check_recipe
from pawl.training.checks import check_task


def open_session(
    task: Task,
    recipes: Sequence[Recipe],
    folder: Path,
    call: RunOptions,
    what: str,
    epochs: int | None = None,
) -> tuple[Session, LoadedData]:
    """Reads a task's data and opens a session for trainings of these recipes, without a budget.

    Raises:
        PawlError: Wrong input, or a recipe that does not fit the task.
    """
    check_task(task)
    device = pick_device(call.device)
    listener: Listener = getattr(call, "listener", None) or Silent()
    read = read_task(task, call.seed, device, listener)
    data, problem = read.data, read.problem
    facts = problem.facts()
    for recipe in recipes:
        check_recipe(facts, recipe)
    options = {name: value for name, value in call.of_task().items() if is_recorded(value)}
    known = {"what": what, "fingerprint": data.fingerprint, "code": read.code, "seed": call.seed,
             "options": {**options, "seed": call.seed},
             "recipes": [recipe.to_dict() for recipe in recipes]}  # fmt: skip
    ledger = Ledger.create(folder, known)
    session = Session(problem, ledger, call.seed, None, listener)
    session.longest = epochs
    session.epochs = pacing.natural_epochs(session)
    return session, data


def found_from_anywhere(given: dict[str, Any]) -> dict[str, Any]:
    """Returns options with paths that a task's module, which may change the directory, cannot change."""
    return {
        name: Path(value).absolute()
        if name in ("test", "weights") and isinstance(value, str | Path) and Path(value).exists()
        else value
        for name, value in given.items()
    }
