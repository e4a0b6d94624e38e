"""Tables larger than memory: their rows by a schema, read in parts.

A file's rows are the same in one part or in many, but for one guess: where a column's numbers as text
have either decimal mark, the first part that shows one decides for all.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pawl.data import memory
from pawl.data.csvfiles import (
    CSV_SUFFIXES,
    PARQUET_SUFFIXES,
    check_frame,
    check_widths,
    empty,
    parse,
    with_index,
)
from pawl.data.encoding import encode_columns, marks_of, missing_column
from pawl.data.filebytes import UNREADABLE, open_bytes, parts_of, unreadable
from pawl.data.lost import Lost
from pawl.data.numbers import Marks
from pawl.data.parquet import outline, parquet_parts
from pawl.data.tables import decimal_of
from pawl.data.text import LOOKED_AT, MARK, find_encoding, find_separator
from pawl.data.types import Examples, Schema
from pawl.errors import DataError
from pawl.options import ReadOptions

_CELLS = 1 << 20
_MOST_ROWS = 1 << 16
_LEAST_ROWS = 64
_PER_CHARACTER = 10  # bytes of memory while a cell is read


@dataclass
class TableStream:
    """A table's file that is read in parts; it can be gone through once.

    Attributes:
        schema: How rows are read.
        path: A CSV or Parquet file.
        total: How many rows it has.
        rows: Of a part.
    """

    schema: Schema
    path: Path
    total: int
    rows: int
    _parts: Iterator[pd.DataFrame]
    _separator: str | None = None
    _notes: list[str] = field(default_factory=list)
    _lost: Lost = field(default_factory=Lost)

    @classmethod
    def open(cls, schema: Schema, path: Path, rows: int | None = None) -> TableStream:
        """Looks over a file.

        Args:
            schema: How its rows are read.
            path: Where it is.
            rows: Of a part; by default as many as a million cells are.

        Raises:
            DataError: It cannot be read; see `read_table_file`.
        """
        if path.name.lower().endswith(PARQUET_SUFFIXES):
            total, names = outline(path)
            wanted = [column.name for column in schema.columns]
            for name in wanted:
                if name not in names:
                    raise DataError(missing_column(name, names))
            rows = rows or _rows_of_a_part(len(wanted))
            return cls(schema, path, total, rows, parquet_parts(path, wanted, rows))
        return _open_csv(schema, path, rows)

    @property
    def notes(self) -> list[str]:
        """What a reader should know of the rows that have been read, a line each."""
        return [*self._notes, *self._lost.notes, *map(str, self._lost)]

    def __iter__(self) -> Iterator[Examples]:
        """Yields the rows in order.

        Raises:
            DataError: They do not fit the schema, or cannot be read.
        """
        schema = self.schema
        marks: dict[str, Marks] = {}
        decimal: Marks | None = None
        for part in self._parts:
            frame = check_frame(with_index(part)[0], self.path.name)
            decimal = decimal or decimal_of(schema, frame, self._separator)
            for name, mark in marks_of(frame, schema.columns, decimal).items():
                if len(marks.get(name, ".,")) > 1:
                    marks[name] = mark
            encoded = encode_columns(
                frame, schema.columns, schema.inputs, decimal=marks, lost=self._lost
            )
            yield Examples(encoded, None)
        if decimal is None:
            raise DataError(f"{self.path.name} has a header but no rows; add rows")


def is_table_file(path: Path) -> bool:
    """Whether a path is a table's by its extension, and there."""
    return path.name.lower().endswith((*CSV_SUFFIXES, *PARQUET_SUFFIXES)) and path.is_file()


def _rows_of_a_part(columns: int) -> int:
    return max(_LEAST_ROWS, min(_MOST_ROWS, _CELLS // max(columns, 1)))


def _open_csv(schema: Schema, path: Path, rows: int | None) -> TableStream:
    """Goes through a file once for its encoding, and once for its rows' widths and number."""
    options = ReadOptions(separator=schema.separator, encoding=schema.encoding)
    name = path.name
    encoding, notes = find_encoding(lambda: parts_of(path, whole=False), name, options.encoding)
    longest = memory.allowed() // _PER_CHARACTER
    try:
        with _open_text(path, encoding) as lines:
            start = lines.read(LOOKED_AT + 1)
            if not start.strip():
                raise empty(name)
            separator = options.mark or find_separator(start, name)
        with _open_text(path, encoding) as lines:
            columns = len(next(csv.reader(lines, delimiter=separator), ()))
        with _open_text(path, encoding) as lines:
            counted = check_widths(lines, separator, name, longest)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    rows = rows or _rows_of_a_part(columns)
    parts = _csv_parts(path, encoding, separator, rows)
    notes += counted.notes
    return TableStream(schema, path, counted.rows, rows, parts, separator, notes)


def _csv_parts(path: Path, encoding: str, separator: str, rows: int) -> Iterator[pd.DataFrame]:
    try:
        with _open_text(path, encoding) as lines:
            yield from parse(lines, separator, path.name, rows)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def _open_text(path: Path, encoding: str) -> io.TextIOWrapper:
    """Opens a file's text behind its byte order mark, line breaks as they are."""
    lines = io.TextIOWrapper(open_bytes(path), encoding=encoding, newline="")
    if lines.read(1) != MARK:
        lines.seek(0)
    return lines
