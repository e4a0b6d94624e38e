"""Plain rows are read as a data frame of them is, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from pawl.data import Column, InputSpec, Schema, read_noting
from pawl.data.types import TargetColumn
from pawl.serving.predicting.plain_rows import PlainRows

CATEGORIES = ("red", "007", "7", "3", "1.5", " odd", "True", "30")
SCHEMA = Schema(
    source="table",
    kind="binary",
    targets=(TargetColumn(name="y", classes=("no", "yes")),),
    columns=(
        Column(name="a", kind="numeric"),
        Column(name="flag", kind="boolean"),
        Column(name="b", kind="numeric"),
        Column(name="color", kind="categorical", categories=CATEGORIES),
        Column(name="code", kind="categorical", categories=("x", "y")),
    ),
    inputs=(
        InputSpec(name="numeric", shape=(3,), dtype="float32", features=("a", "flag", "b")),
        InputSpec(
            name="categorical", shape=(2,), dtype="int64", features=("color", "code"),
            cardinalities=(9, 3),
        ),
    ),
)  # fmt: skip
PLAIN = PlainRows.of(SCHEMA)
assert PLAIN is not None

CELL = (
    some.none()
    | some.booleans()
    | some.integers(-(10**30), 10**30)
    | some.integers(-9, 9)
    | some.floats(allow_nan=True)
    | some.sampled_from([*CATEGORIES, "", "NA", " red", "1,5", "1e3", "yes", "x", "z"])
    | some.text(max_size=3)
)
ROW = some.fixed_dictionaries({c.name: CELL for c in SCHEMA.columns})


def check(rows: list[dict[str, Any]]) -> bool:
    """Holds that rows are read alike; returns whether they are plain."""
    found = PLAIN.read(rows)
    if found is None:
        return False
    frame = pd.DataFrame({c.name: [row[c.name] for row in rows] for c in SCHEMA.columns})
    reading = read_noting(SCHEMA, frame)
    assert not reading.lost
    assert list(found.inputs) == list(reading.examples.inputs)
    for name, tensor in reading.examples.inputs.items():
        assert found.inputs[name].dtype == tensor.dtype
        assert found.inputs[name].is_contiguous()
        assert torch.equal(found.inputs[name].nan_to_num(-7.5), tensor.nan_to_num(-7.5)), rows
    return True


@settings(max_examples=200, deadline=None)
@given(some.lists(ROW, min_size=1, max_size=3))
def test_rows_are_read_as_a_data_frame_of_them(rows: list[dict[str, Any]]) -> None:
    check(rows)


GOOD = {"a": 1.25, "flag": True, "b": 3, "color": "red", "code": "y"}


@pytest.mark.parametrize(
    ("change", "plain"),
    [
        ({}, True),
        ({"a": None, "flag": None, "b": None, "color": None, "code": None}, True),
        ({"color": 7}, True),
        ({"color": 3.0}, True),
        ({"color": 30}, True),
        ({"color": "NA"}, True),
        ({"flag": 0}, True),
        ({"a": "1.25"}, False),
        ({"a": True}, False),
        ({"a": 10**400}, False),
        ({"a": 1e300}, False),
        ({"a": float("inf")}, False),
        ({"flag": 2}, False),
        ({"color": "violet"}, False),
        ({"color": " red"}, False),
        ({"color": 8}, False),
        ({"color": float("nan")}, False),
        ({"color": ["red"]}, False),
        ({"b": {}}, False),
    ],
)
def test_what_is_plain(change: dict[str, Any], plain: bool) -> None:
    rows = json.loads(json.dumps([GOOD | change]))
    assert (PLAIN.read(rows) is not None) == plain
    if plain:
        assert check(rows)
        assert check([*rows, GOOD | {"color": None}])


def test_a_column_of_texts_and_numbers_is_not_plain() -> None:
    """In a data frame, a number beside texts is a text."""
    assert PLAIN.read([GOOD, GOOD | {"color": 7}]) is None


def test_dates_and_texts_are_never_plain() -> None:
    dated = SCHEMA.model_copy(update={"columns": (Column(name="day", kind="date"),)})
    assert PlainRows.of(dated) is None
