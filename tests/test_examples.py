"""The examples load, and their models take a first step; those of functions run once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pawl.data import load
from pawl.data.module import load_from_module, load_module_task
from pawl.functions.space import FunctionSpace
from pawl.task import FunctionTask
from pawl.training.problem import Problem

FOLDER = Path(__file__).parent.parent / "examples"
REVIEWS = FOLDER.parent.parent / "shared" / "data" / "movie-reviews.csv"
KINDS = {
    "characters": "sequence", "masks": "dense", "own_model": "multiclass", "reviews": "binary",
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_model(name: str) -> None:
    if name in ("characters", "reviews") and not REVIEWS.is_file():
        pytest.skip(f"{REVIEWS} is not there; see its README")
    task = load_module_task(str(FOLDER / f"{name}.py"))
    problem = Problem.of(task, load(task))  # takes a step
    assert problem.schema.kind == KINDS[name]


def test_a_function() -> None:
    task = load_from_module(str(FOLDER / "function.py"), FunctionTask)
    space = FunctionSpace(task)
    first, again, other = (task.train(space.settings({}), seed) for seed in (0, 0, 1))
    assert first == again != other


def test_no_example_is_forgotten() -> None:
    there = {path.stem for path in FOLDER.glob("*.py")}
    assert there == {*KINDS, "function", "extract_images"}
