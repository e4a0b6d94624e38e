"""The examples load, and their models take a first step; those of functions run once."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pawl.data import load
from pawl.data.module import load_from_module, load_module_task
from pawl.functions.space import FunctionSpace
from pawl.task import FunctionTask
from pawl.training.problem import Problem

FOLDER = Path(__file__).parent.parent / "examples"
REVIEWS = FOLDER.parent.parent / "shared" / "data" / "movie-reviews.csv"
KINDS = {
    "characters": "sequence", "masks": "dense", "own_images": "multiclass", "own_model": "multiclass",
    "reviews": "binary",
}  # fmt: skip


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of ten classes, in the place of those that are extracted."""
    drawn = np.random.default_rng(0)
    with tarfile.open(tmp_path / "images.tar", "w") as images:
        for place in range(120):
            file = tmp_path / f"{place}.png"
            Image.fromarray(drawn.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file)
            images.add(file, f"train/{place % 10}/{place}.png")
    monkeypatch.setenv("IMAGES", str(tmp_path / "images.tar"))


@pytest.mark.usefixtures("archive")
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
