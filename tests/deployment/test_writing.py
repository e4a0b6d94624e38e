"""Predictions of tables that are read, predicted and written in parts."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bundles import bundle_of
from problems import frame

from pawl.deployment import Bundle, write_predictions
from pawl.errors import BundleError, DataError, DataWarning
from pawl.task import Task

PART = 7


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(bundle_of(Task(data=frame()), tmp_path_factory.mktemp("table") / "campaign"))


def rows() -> pd.DataFrame:
    """Rows with a gap, an empty column name beside them, and text that has to be in quotes."""
    table = frame().drop(columns="target").round(3)
    table.insert(0, "note", ['said "a, b"\nand more'] * len(table))
    table["more"] = "é"
    return table


def predicted(bundle: Bundle, source: Path, out: Path, part: int | None) -> pd.DataFrame:
    done: list[tuple[int, int]] = []
    count = write_predictions(
        bundle, source, out, rows=part, progress=lambda *state: done.append(state)
    )
    read = pd.read_csv(out) if out.suffix == ".csv" else pd.read_parquet(out)
    assert len(read) == count == done[-1][0] == done[-1][1]
    if part:
        assert len(done) >= -(-count // part)
    assert list(out.parent.glob(".*")) == []
    return read


def write(table: pd.DataFrame, path: Path) -> None:
    name = path.name
    if name.endswith(".parquet"):
        table.to_parquet(path)
        return
    separator = "\t" if ".tsv" in name else ";" if "semicolon" in name else ","
    decimal = "," if "semicolon" in name else "."
    text = table.to_csv(index=False, sep=separator, decimal=decimal)
    encoding = {"utf16.csv": "utf-16", "west.csv": "cp1252", "mark.csv": "utf-8-sig"}.get(name)
    data = text.replace("\n", "\r\n").encode(encoding or "utf-8")
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


NAMES = (
    "plain.csv", "packed.tsv.gz", "semicolon.csv", "utf16.csv", "west.csv", "mark.csv", "a.parquet",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:.*not UTF-8:pawl.errors.DataWarning")
def test_parts_give_what_the_whole_file_does(bundle: Bundle, tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    write(rows(), source)
    whole = bundle.predict(source)
    for out in (tmp_path / "out.csv", tmp_path / "out.parquet"):
        found = predicted(bundle, source, out, PART)
        pd.testing.assert_frame_equal(found, whole, check_dtype=False, rtol=1e-5)
    pd.testing.assert_frame_equal(
        predicted(bundle, source, tmp_path / "whole.parquet", None), whole, check_dtype=False
    )


def test_typed_cells_of_parquet_are_the_same_in_parts(bundle: Bundle, tmp_path: Path) -> None:
    """Whole numbers with gaps in some parts only, categories, a named index, headers with spaces."""
    table = frame().drop(columns="target")
    table["age"] = table["age"].round().astype("Int64")
    table["color"] = table["color"].astype("category")
    table.loc[30:60, "shape"] = None
    table = table.rename(columns={"size": " size "}).set_index(np.arange(len(table)) * 2)
    source = tmp_path / "typed.parquet"
    table.to_parquet(source, row_group_size=50)
    found = predicted(bundle, source, tmp_path / "out.parquet", PART)
    pd.testing.assert_frame_equal(found, bundle.predict(source), check_dtype=False, rtol=1e-5)


def test_what_is_told_of_cells_counts_all_parts(bundle: Bundle, tmp_path: Path) -> None:
    table = frame().drop(columns="target").astype({"size": object})
    table.loc[[40, 50, 159], "color"] = "violet"
    table.loc[[90], "size"] = "large"
    source = tmp_path / "odd.csv"
    table.to_csv(source, index=False)
    told = []
    for part in (None, PART):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            write_predictions(bundle, source, tmp_path / "out.csv", rows=part)
        told.append(sorted(str(each.message) for each in caught))
    assert told[0] == told[1]
    assert any("3 of 160" in each and "'violet' in row 41" in each for each in told[0])
    assert any("1 of 160" in each and "'large' in row 91" in each for each in told[0])


def test_the_first_numbers_with_a_mark_decide_for_the_parts_that_follow(
    bundle: Bundle, tmp_path: Path
) -> None:
    """`1,234` alone is a thousand and more, or one and a bit."""
    table = frame(40).drop(columns="target").round(3)
    first, then = table.head(20), table.tail(20)
    semicolon = tmp_path / "comma.csv"
    clear, unclear = [text.copy() for text in (first, then)]
    for part in (clear, unclear):
        for name in ("size", "age", "noise"):
            part[name] = part[name].map(lambda value: f"{value:.3f}".replace(".", ","))
    unclear["size"] = "1,234"
    pd.concat([clear, unclear]).to_csv(semicolon, index=False, sep=";")
    found = predicted(bundle, semicolon, tmp_path / "out.csv", 20)
    then = then.assign(size=1.234)
    expected = bundle.predict(pd.concat([first, then]))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-4)


def test_a_file_that_is_refused_late_leaves_what_was_there(bundle: Bundle, tmp_path: Path) -> None:
    source, out = tmp_path / "ragged.csv", tmp_path / "out.csv"
    text = frame().to_csv(index=False)
    source.write_text(text + "1,2\n")
    out.write_text("of yesterday\n")
    with pytest.raises(DataError, match="line 162: got 2 cell"):
        write_predictions(bundle, source, out, rows=PART)
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(text.encode())[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        write_predictions(bundle, cut, out, rows=PART)
    lacking = tmp_path / "lacking.parquet"
    frame().drop(columns="age").to_parquet(lacking)
    with pytest.raises(DataError, match=r"no column 'age' .*; it has size"):
        write_predictions(bundle, lacking, out)
    assert out.read_text() == "of yesterday\n"
    assert {path.name for path in tmp_path.iterdir()} == {
        "ragged.csv", "out.csv", "cut.csv.gz", "lacking.parquet",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"size,age,noise,color,shape\n", "no rows"),
        (b"size,age,noise,color,shape", "single line"),
        (b"size,size,noise,color,shape\n1,2,3,red,round\n", "several columns called 'size'"),
        (b"size,age,noise,color,shape\n1,2,3,\"red,round\n", "CSV|cell"),
        (b"a,b\n1,2\n", "no column 'size'"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_in_a_line(
    bundle: Bundle, tmp_path: Path, content: bytes, words: str
) -> None:
    source = tmp_path / "bad.csv"
    source.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        write_predictions(bundle, source, tmp_path / "out.csv")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


def test_texts_too_long_for_memory_are_refused(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Parquet file holds equal texts once; a part is refused before they are written out."""
    table = frame().drop(columns="target").assign(shape="x" * 100_000)
    source = tmp_path / "long.parquet"
    table.to_parquet(source)
    monkeypatch.setenv("PAWL_MEMORY", "5MB")
    with pytest.raises(DataError, match="of memory"):
        write_predictions(bundle, source, tmp_path / "out.csv")
    line = tmp_path / "line.csv"
    line.write_text(frame().to_csv(index=False) + "x" * 4_000_000 + "\n")
    with pytest.raises(DataError, match="of memory"):
        write_predictions(bundle, line, tmp_path / "out.csv")


def test_what_cannot_be_written_is_told(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    rows().to_csv(source, index=False)
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(BundleError, match="cannot write"):
        write_predictions(bundle, source, tmp_path / "out.csv")
