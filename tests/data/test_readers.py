"""Files of other formats, by readers of the user's own."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import pawl
from pawl.data import load, read_like, resolve_task
from pawl.data.readers import unregister_reader
from pawl.errors import DataError


@pytest.fixture
def lines(tmp_path):
    random = np.random.default_rng(0)
    rows = [{"a": float(a), "y": int(a > 0)} for a in random.normal(size=80)]
    path = tmp_path / "Rows.JSONL"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    pawl.register_reader(".jsonl", lambda path: pd.read_json(path, lines=True))
    yield path
    unregister_reader(".jsonl")


def test_a_file_of_ones_own_format_trains_and_is_predicted(lines):
    data = load(resolve_task(str(lines), target="y"))
    assert (data.name, data.schema.source, data.schema.kind) == ("Rows", "table", "binary")
    assert len(read_like(data.schema, lines)) == 80


def test_arrays_may_come_of_it(tmp_path):
    path = tmp_path / "rows.raw"
    path.write_bytes(np.arange(120, dtype=np.float32).tobytes())

    def read(path):
        x = np.frombuffer(path.read_bytes(), np.float32).reshape(-1, 3)
        return x, np.arange(len(x)) % 2

    pawl.register_reader(".raw", read)
    try:
        data = load(resolve_task(path))
    finally:
        unregister_reader(".raw")
    assert data.schema.source == "arrays"
    with pytest.raises(DataError, match=r"extension '\.raw'"):
        load(resolve_task(path))


def test_what_goes_wrong_is_one_line(lines):
    with pytest.raises(DataError, match=r"files \.csv are read already"):
        pawl.register_reader(".CSV", pd.read_csv)
    with pytest.raises(DataError, match=r"files \.jsonl are read already"):
        pawl.register_reader(".jsonl", pd.read_json)
    with pytest.raises(DataError, match="with its dot"):
        pawl.register_reader("jsonl", pd.read_json)
    with pytest.raises(DataError, match="give a function"):
        pawl.register_reader(".other", "x")
    lines.write_text("{")
    with pytest.raises(DataError, match=r"the reader of \.jsonl files raised ValueError") as raised:
        load(resolve_task(lines))
    assert "\n" not in str(raised.value)
    other = lines.with_name("x.foo")
    other.write_text("")
    with pytest.raises(DataError, match=r"and \.jsonl by your own reader"):
        load(resolve_task(other))
