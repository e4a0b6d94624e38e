"""Tables that cannot be used: one line that says what was got, what is allowed, what to do."""

from __future__ import annotations

import csv
import gzip

import pandas as pd
import pytest

from pawl.data import load
from pawl.errors import DataError
from pawl.task import Task

ROWS = "".join(f"{row},{row % 3},{row % 2}\n" for row in range(30))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table.csv is empty"),
        (" \n\n", "table.csv is empty"),
        ("a,b,target\n", "a header but no rows"),
        (f"a,b,target\n{ROWS}1,2\n", "line 32: got 2 cell(s); 3 are allowed"),
        (f"a,b,target\n1,2,3,4\n{ROWS}", "line 2: got 4 cell(s); 3 are allowed"),
        (f'a,b,target\n\n"x\ny",2,0\n1,2,3,4\n{ROWS}', "line 5: got 4 cell(s)"),
        (f'a,b,target\n{ROWS}1,"2,0\n', "table.csv"),
        (f"a,a,target\n{ROWS}", "several columns called 'a'"),
        (f"a, a ,target\n{ROWS}", "several columns called 'a'"),
        ("a,b,target\n" + "1,2,\n" * 30, "no row has a target in 'target'"),
        ("a,b,target\n" + "1,2,5\n3,4,?\n" * 30, "the target 'target' is always '5'"),
        ("a,b,target\n" + "1,2,0\n3,4,1\n" * 9, "got 18 row(s) with a target; at least 20"),
        (f"a,b,target\n{ROWS}".replace(",1\n", ",\n", 14), "at least 20"),
        ("a,target\n" + "1,x\n2,y\n" * 20 + "3,z\n", "class 'z' of the target 'target' has 1"),
        ("a,target\n" + "".join(f"1,{row}\n" for row in range(99)) + "1,oops\n", "'oops'"),
    ],
)
def test_bad_text(write, text, message):
    with pytest.raises(DataError) as caught:
        load(Task(data=write(text)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbfa,b\n\xff", "not UTF-8 at byte 7; name its encoding by the option encoding"),
        ("a,b\n\xe4,2\n".encode("utf-16-le"), "not UTF-8 at byte 8; name its encoding"),
        ("a,b\n1,2\n".encode("utf-16") + b"\0", "not UTF-16 at byte"),
    ],
)
def test_text_that_is_of_no_known_encoding(tmp_path, content, message):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(Task(data=path))


@pytest.mark.parametrize("name", ["t.csv.gz", "t.parquet"])
def test_broken_files(tmp_path, name):
    (tmp_path / name).write_bytes(b"not what the extension says")
    with pytest.raises(DataError, match=f"{name} cannot be read"):
        load(Task(data=tmp_path / name))


def test_a_zip_of_a_table_is_said_to_be_one(tmp_path):
    path = tmp_path / "t.csv.zip"
    pd.DataFrame({"x": range(60), "y": [0, 1] * 30}).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"t\.csv\.zip is a zip of a table .*unzip it, .*\.csv\.gz"):
        load(Task(data=path))


def test_a_cut_gzip_file(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(f"a,b,target\n{ROWS}".encode())[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        load(Task(data=path))


def test_a_missing_file_and_an_unknown_extension(tmp_path):
    (tmp_path / "wine.csv").write_text(f"a,b,target\n{ROWS}")
    (tmp_path / "wine.xlsx").write_text("x")
    with pytest.raises(DataError, match=r"no file or folder .*did you mean .*wine\.csv"):
        load(Task(data=str(tmp_path / "wines.csv")))
    with pytest.raises(DataError, match=r"'\.xlsx'; allowed are a table \(\.csv"):
        load(Task(data=tmp_path / "wine.xlsx"))
    with pytest.raises(DataError, match="did you mean 'digits'"):
        load(Task(data="digit"))
    with pytest.raises(DataError, match="no file or folder"):
        load(Task(data="x" * 5000))


def test_an_unknown_target(write):
    with pytest.raises(DataError) as caught:
        load(Task(data=write(f"aa,bb,outcome\n{ROWS}"), target="outcomes"))
    assert "did you mean 'outcome'" in str(caught.value)
    assert "it has aa, bb, outcome" in str(caught.value)


def test_a_target_of_dates():
    frame = pd.DataFrame({"x": range(30), "target": pd.date_range("2020-01-01", periods=30)})
    with pytest.raises(DataError, match="the target 'target' holds dates"):
        load(Task(data=frame))


def test_a_frame_with_double_names_or_without_rows():
    frame = pd.DataFrame([[1, 2, 3]] * 30, columns=["a", "a", "target"])
    with pytest.raises(DataError, match="several columns called 'a'"):
        load(Task(data=frame))
    with pytest.raises(DataError, match="no rows"):
        load(Task(data=frame.iloc[:0, 1:]))


def test_long_cells_are_read_and_the_csv_module_is_left_as_it_was(write):
    limit = csv.field_size_limit()
    rows = "".join(f"{row},{'x' * 200_000 if row == 3 else 'y'},{row % 2}\n" for row in range(30))
    assert load(Task(data=write(f"a,b,target\n{rows}"))).schema.kind == "binary"
    assert csv.field_size_limit() == limit
