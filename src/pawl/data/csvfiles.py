"""Table files: CSV as text cells, checked with line numbers; Parquet as typed cells."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import pandas as pd

from pawl.data.filebytes import read_bytes
from pawl.data.parquet import read_parquet
from pawl.data.plaincsv import read_plain
from pawl.data.text import decode, find_separator
from pawl.errors import DataError
from pawl.options import ReadOptions

CSV_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_COMMAS = " and the decimal mark (numbers with a decimal comma need another separator, or quotes)"


@dataclass(frozen=True)
class TableFile:
    """A table as it was read from a file.

    Attributes:
        frame: Its rows.
        separator: What separates its cells, if it is text.
        notes: What a reader should know.
        index: The columns that came as its index.
    """

    frame: pd.DataFrame
    separator: str | None = None
    notes: tuple[str, ...] = ()
    index: tuple[str, ...] = ()


def read_table_file(path: Path, options: ReadOptions) -> TableFile:
    """Reads a CSV file into text cells, or a Parquet file into typed ones.

    Columns are separated by commas, semicolons, tabs or bars (`.tsv`: tabs), as the first rows show.
    Cells in quotes may hold separators and line breaks. The text is what its byte order mark says,
    UTF-8, or Western European. Blank lines are skipped, also those of spaces.

    Raises:
        DataError: If the file cannot be read, is empty, is no text of its encoding, or has ragged
            rows or double column names.
    """
    name = path.name
    if name.lower().endswith(PARQUET_SUFFIXES):
        frame, index = with_index(read_parquet(path))
        return TableFile(check_frame(frame, name), index=index)
    return read_table_text(read_bytes(path), name, options)


def read_table_text(data: bytes, name: str, options: ReadOptions) -> TableFile:
    """Reads what a CSV file holds; see `read_table_file`.

    Raises:
        DataError: As there.
    """
    if not data.strip():
        raise empty(name)
    text, notes = decode(data, name, options.encoding)
    separator = options.mark or find_separator(text, name)
    encoded = text.encode(errors="replace")
    del data, text  # a large file is held once
    if (cells := read_plain(encoded, separator)) is not None:
        headers = [str(header) for header in cells.iloc[0]]
        return TableFile(named(cells.iloc[1:], headers, name), separator, tuple(notes))
    lines = io.TextIOWrapper(io.BytesIO(encoded), encoding="utf-8", newline="")
    counted = check_widths(lines, separator, name, len(encoded) + 1)
    (frame,) = parse(io.BytesIO(encoded), separator, name)
    return TableFile(frame, separator, (*notes, *counted.notes))


def parse(
    content: IO[Any], separator: str, name: str, rows: int | None = None
) -> Iterator[pd.DataFrame]:
    """Yields frames of text cells: one, or one for each so many rows.

    Raises:
        DataError: If it is no CSV, or has double column names.
    """
    try:
        with pd.read_csv(
            content,
            sep=separator,
            header=None,
            dtype="str",
            keep_default_na=False,
            skipinitialspace=True,
            engine="c",
            iterator=True,
        ) as reader:
            cells = reader.read(None if rows is None else rows + 1)
            headers = [str(header) for header in cells.iloc[0]]
            cells = cells.iloc[1:]
            while True:
                yield named(cells, headers, name)
                if rows is None:
                    return
                try:
                    cells = reader.read(rows)
                except StopIteration:
                    return
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name} is no valid CSV ({reason}); correct or export it again") from error


def named(cells: pd.DataFrame, headers: Sequence[str], name: str) -> pd.DataFrame:
    """Returns rows below the header; see `check_frame`."""
    frame = cells.reset_index(drop=True)
    frame.columns = pd.Index(headers, dtype=object)
    return check_frame(frame, name)


def empty(name: str) -> DataError:
    """Returns what is said of a file that holds nothing."""
    return DataError(f"{name} is empty; a header and rows are needed; check the file")


def with_index(
    frame: pd.DataFrame, but: Sequence[str] = ()
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Returns a frame with what its index holds as columns in front, and their names.

    What has no name, counts rows, or has the name of a column is left out.

    Args:
        frame: The frame.
        but: Names that are left out as well.
    """
    headers = [str(header).strip() for header in frame.columns]
    named = {
        str(name).strip(): frame.index.get_level_values(level)
        for level, name in enumerate(frame.index.names)
        if name is not None
    }
    kept = {
        name: values
        for name, values in named.items()
        if name not in ("", *headers, *but) and not isinstance(values, pd.RangeIndex)
    }
    if not kept:
        return frame, ()
    rest = frame.reset_index(drop=True)
    rest.columns = pd.Index(headers, dtype=object)
    return pd.concat([pd.DataFrame(kept), rest], axis=1), tuple(kept)


def check_frame(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Returns the frame with stripped text headers and rows numbered from 0.

    Raises:
        DataError: If it has no rows, no columns or double column names.
    """
    headers = [str(header).strip() for header in frame.columns]
    double = [header for header, count in Counter(headers).items() if header and count > 1]
    if double:
        raise DataError(
            f"{name} has several columns called {min(double)!r}; each name is allowed once; rename "
            f"them"
        )
    if not headers:
        raise DataError(f"{name} has no columns; features and a target are needed; check it")
    if not len(frame):
        raise DataError(f"{name} has a header but no rows; add rows")
    clean = frame.reset_index(drop=True)
    clean.columns = pd.Index(headers, dtype=object)
    # Columns without a name cannot be addressed; keep at most one so that names stay unique.
    nameless = [place for place, header in enumerate(headers) if not header]
    if len(nameless) > 1:
        clean = clean.iloc[:, [i for i, header in enumerate(headers) if header or i == nameless[0]]]
    return clean


class Counted(NamedTuple):
    """What a CSV file has.

    Attributes:
        rows: Below the header.
        spaces: Lines of nothing but spaces, which are skipped.
    """

    rows: int
    spaces: int

    @property
    def notes(self) -> list[str]:
        """What a reader should know of it, a line each."""
        if not self.spaces:
            return []
        lines = "line has" if self.spaces == 1 else "lines have"
        return [
            f"{self.spaces:,} {lines} only spaces, which is no row; a missing value is written as "
            '""'
        ]


def check_widths(lines: IO[str], separator: str, name: str, longest: int) -> Counted:
    """Refuses ragged rows: pandas fills short ones up in silence.

    Args:
        lines: The text, its line breaks as they are.
        separator: What separates cells.
        name: What messages call the file.
        longest: Characters that a cell may have.

    Raises:
        DataError: A row has more or fewer cells than the header, or it is no CSV.
    """
    limit, spaces, begins = csv.field_size_limit(longest), 0, True

    def known() -> Iterator[str]:
        """Yields lines, those of spaces as blank: `csv` would make rows of them, pandas does not."""
        nonlocal spaces, begins
        for text in lines:
            # Within quotes it is a part of a cell.
            if begins and text.isspace() and text.strip("\r\n") and separator not in text:
                spaces += 1
                yield "\n"
            else:
                begins = False
                yield text

    try:
        reader = csv.reader(known(), delimiter=separator, skipinitialspace=True)
        width = rows = 0
        line = 1
        for row in reader:
            if row and not width:
                width = len(row)
            elif row and len(row) != width and not _is_blank(row):
                raise DataError(
                    f"{name}, line {line}: got {len(row)} cell(s); {width} are allowed, as in the "
                    f"header, where {_NAMES.get(separator, repr(separator))} separate cells; correct "
                    f"the line, or name the separator{_COMMAS if separator == ',' else ''}"
                )
            elif row:
                rows += 1
            line, begins = reader.line_num + 1, True
    except csv.Error as error:
        raise DataError(f"{name} is no valid CSV ({error}); correct or export it again") from error
    finally:
        csv.field_size_limit(limit)
    return Counted(rows, spaces)


def _is_blank(row: Sequence[str]) -> bool:
    return len(row) == 1 and not row[0].strip()
