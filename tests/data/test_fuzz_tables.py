"""Tables as they may come: a clean error in one line, or predictions that hold, through to ONNX."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from problems import member, plain
from torch import Tensor

from pawl.data import load, read_like, split_rows
from pawl.data.types import Examples, LoadedData
from pawl.deployment import check_parity, predict, prediction_frame
from pawl.errors import PawlError
from pawl.execution import Job, Plan, TrainingWay, train_all
from pawl.task import Task
from pawl.training.problem import Problem
from pawl.training.trained import Trained, from_outcome

pytestmark = pytest.mark.filterwarnings("ignore::pawl.errors.DataWarning")

CELLS: dict[str, st.SearchStrategy[Any]] = {
    "ints": st.integers(-(2**60), 2**60),
    "small ints": st.integers(-3, 3),
    "floats": st.floats(),
    "tame floats": st.floats(-100, 100),
    "bools": st.booleans(),
    "words": st.sampled_from(["red", "green", "blue", "NA", "", "  ", "1", "true"]),
    "texts": st.text(max_size=8),
    "dates": st.dates(dt.date(1600, 1, 1), dt.date(2262, 1, 1)).map(str),
    "times": st.datetimes().map(str),
    "typed times": st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)),
    "missing": st.none(),
    "constant": st.just("same"),
}
CELLS["mixed"] = st.one_of(*CELLS.values())
TARGETS: dict[str, st.SearchStrategy[Any]] = {
    "two classes": st.sampled_from(["no", "yes"]),
    "classes": st.sampled_from(["a", "b", "ç", "1"]),
    "numbers": st.floats(-1e3, 1e3),
    "wild numbers": st.floats(),
    "bools": st.booleans(),
    "mixed": CELLS["mixed"],
}


@st.composite
def frames(draw: st.DrawFn, most_rows: int) -> pd.DataFrame:
    """A table with a target, rows repeated from a few drawn ones and with gaps."""
    rows = draw(st.integers(0, 25) | st.integers(40, most_rows) | st.integers(40, most_rows))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    columns: dict[str, Any] = {}
    names = draw(st.lists(st.text(min_size=1, max_size=5), min_size=0, max_size=5, unique=True))
    for name in [*names, "target"]:
        pool = TARGETS if name == "target" else CELLS
        cell = pool[draw(st.sampled_from(sorted(pool)))]
        few = draw(st.lists(cell, min_size=1, max_size=24))
        column = np.empty(rows, dtype=object)
        for row, pick in enumerate(generator.integers(0, len(few), rows)):
            column[row] = few[pick]
        gaps = draw(st.sampled_from([0.0, 0.0, 0.1, 0.9]))
        column[generator.random(rows) < gaps] = None
        columns[name] = column
    frame = pd.DataFrame(columns)
    if draw(st.booleans()):
        frame = frame.infer_objects()
    return frame


@contextmanager
def as_given(frame: pd.DataFrame, *, in_file: bool) -> Iterator[Any]:
    """The table itself, or a CSV file of it."""
    if not in_file:
        yield frame
        return
    with tempfile.TemporaryDirectory() as folder:
        frame.to_csv(Path(folder, "table.csv"), index=False)
        yield Path(folder, "table.csv")


def read(source: Any) -> LoadedData | None:
    """The table as data, or nothing where it is refused in one line."""
    try:
        return load(Task(data=source, target="target"))
    except PawlError as error:
        return check_line(error)


def check_line(error: PawlError) -> None:
    message = str(error)
    assert message
    assert len(message.splitlines()) == 1, message


def trained_on(data: LoadedData) -> tuple[Trained, Tensor] | None:
    """A model after a few steps, and its predictions of the test rows; nothing if it diverged."""
    try:
        problem = Problem.of(Task(data=None), data)
    except PawlError as error:
        return check_line(error)
    assert data.development.targets is not None
    train, valid = split_rows(data.development.targets, data.schema.kind, 0.2, 0)
    job = Job(member_of(train, valid), torch.arange(len(data.test)), keep=True)
    chosen = Plan(TrainingWay("serial", 1), "for the test")
    (result,) = train_all(problem, [job], lambda _: chosen, examples=data.test)
    if result.predictions is None:
        assert result.outcome.status == "diverged"
        assert result.outcome.reason
        return None
    return from_outcome(problem, result.outcome), result.predictions


def member_of(train: Tensor, valid: Tensor) -> Any:
    made = member(plain(), epochs=2)
    return type(made)(made.recipe, made.seed, train, valid, made.epochs)


def check_predictions(data: LoadedData, predictions: np.ndarray, rows: int) -> None:
    kind, classes = data.schema.kind, len(data.schema.classes)
    assert predictions.shape == ((rows,) if kind == "regression" else (rows, classes))
    assert np.isfinite(predictions).all()
    if kind != "regression":
        np.testing.assert_allclose(predictions.sum(1), 1, atol=1e-4)
    assert len(prediction_frame(data.schema, predictions)) == rows


def run_torch(trained: Trained, rows: Examples) -> np.ndarray:
    with torch.no_grad():
        out: Tensor = trained.model(*(rows.inputs[name] for name in trained.model.names))
    return out.numpy()


def check_until_prediction(source: Any) -> tuple[LoadedData, Trained, Examples] | None:
    data = read(source)
    if data is None:
        return None
    found = trained_on(data)
    if found is None:
        return None
    trained, predictions = found
    check_predictions(data, predictions.numpy(), len(data.test))
    # Prediction reads all rows by the schema alone, whatever their target is.
    rows = read_like(data.schema, source)
    check_predictions(data, run_torch(trained, rows), len(rows))
    return data, trained, rows


def check_until_export(source: Any) -> None:
    found = check_until_prediction(source)
    if found is None:
        return
    data, trained, rows = found
    graph = trained.graph(data.development.take(torch.arange(4)))
    check_parity(trained, graph, data.test)
    got, expected = predict(graph, rows), run_torch(trained, rows)
    check_predictions(data, got, len(rows))
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(got / scale, expected / scale, atol=1e-3)


SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=SLOW)
@given(frames(most_rows=200), st.booleans())
def test_any_table_is_refused_or_predicted(frame: pd.DataFrame, in_file: bool) -> None:
    with as_given(frame, in_file=in_file) as source:
        check_until_prediction(source)


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=SLOW)
@given(frames(most_rows=120), st.booleans())
def test_any_table_goes_through_onnx(frame: pd.DataFrame, in_file: bool) -> None:
    with as_given(frame, in_file=in_file) as source:
        check_until_export(source)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=SLOW)
@given(frames(most_rows=200), st.booleans())
def test_many_tables_are_refused_or_predicted(frame: pd.DataFrame, in_file: bool) -> None:
    with as_given(frame, in_file=in_file) as source:
        check_until_prediction(source)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(frames(most_rows=120), st.booleans())
def test_many_tables_go_through_onnx(frame: pd.DataFrame, in_file: bool) -> None:
    with as_given(frame, in_file=in_file) as source:
        check_until_export(source)
