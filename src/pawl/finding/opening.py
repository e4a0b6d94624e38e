"""What finders share: a session on the task, the recipe, and a place that is gone when they end."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from pawl.data import resolve_task
from pawl.errors import TaskError, option
from pawl.execution import Session, deterministic
from pawl.ledger import place_of
from pawl.options.finding import FindOptions
from pawl.recipe import Recipe
from pawl.search import baseline
from pawl.single import open_session


@contextlib.contextmanager
def opened(
    source: Any, targets: Any, call: FindOptions, what: str, epochs: int | None = None
) -> Iterator[tuple[Session, Recipe]]:
    """Yields a session on a task's development rows, and the recipe to try things with.

    Nothing is left behind: the ledger is in a scratch folder, and PyTorch's random numbers go on where
    they were.

    Raises:
        PawlError: Any wrong input, in one line.
    """
    check_place(call.picture)
    given = None if call.recipe is None else Recipe.given(call.recipe)
    with tempfile.TemporaryDirectory() as scratch, torch.random.fork_rng(devices=[]):
        folder = place_of(Path(scratch) / "find")
        task = resolve_task(source if targets is None else (source, targets), **call.of_task())
        recipes = () if given is None else (given,)
        session, _ = open_session(task, recipes, folder, call, what, epochs)
        with session.ledger, deterministic(call.deterministic):
            recipe = given or baseline(session.facts)
            if recipe.learner is not None:
                raise TaskError(
                    f"the recipe learns by {recipe.learner.name!r}, in one go and without steps; give "
                    "one with an optimizer"
                )
            yield session, recipe


def check_place(picture: str | Path | None) -> None:
    """Checks that a picture can be written, before anything is trained.

    Raises:
        TaskError: Its name does not end in .svg, or its folder is not there.
    """
    if picture is None:
        return
    path = Path(picture)
    if path.suffix.lower() != ".svg":
        raise TaskError(f"got {option('picture', str(picture))}; give a file that ends in .svg")
    if not path.absolute().parent.is_dir():
        raise TaskError(
            f"the folder of {str(picture)!r} is not there; make it, or give another file"
        )
