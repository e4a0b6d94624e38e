"""Rows in JSON: what form they may have, and which cell is wrong if one is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pawl.data import Reading, Schema, read_noting
from pawl.data.lost import LostCells
from pawl.errors import did_you_mean
from pawl.serving.predicting.columns import columns_of_rows
from pawl.serving.predicting.plain_rows import PlainRows
from pawl.serving.predicting.refusing import RefusedError

ROWS = "rows"
_CELL = (str, int, float, bool, type(None))
_ALLOWED = {
    "numeric": "a number, or null",
    "boolean": "true or false, or null",
    "date": "a date as text, or null",
    "categorical": "a text or number, or null",
    "text": "a text, or null",
    "time": "a number, or a date as text",
}
_LONG = 60


def parse(data: bytes) -> Any:
    """Returns what JSON says.

    Raises:
        RefusedError: It is no JSON.
    """
    try:
        return json.loads(data)
    except UnicodeDecodeError as error:
        raise RefusedError(400, f"the body is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        message = f"the body is no JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        raise RefusedError(400, message) from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RefusedError(400, f"the body is no JSON that can be read: {reason}") from None


class Rows:
    """Reads rows of a schema that is a table's or that of arrays.

    Args:
        schema: How rows are read.
        most: Rows that a request may have.
    """

    def __init__(self, schema: Schema, most: int) -> None:
        self._schema, self._most = schema, most
        self._kinds = {column["name"]: column["kind"] for column in columns_of_rows(schema)}
        self._columns = list(self._kinds)
        self._plain = PlainRows.of(schema)
        # Masks are made of the rows' lengths.
        self._inputs = [spec.name for spec in schema.inputs if not spec.is_mask]

    def listed(self, given: Any) -> list[Any]:
        """Returns the rows of `{"rows": [...]}`, of a list, or of one row.

        Raises:
            RefusedError: It is none of these, or has no rows or too many, or a row lacks something.
        """
        rows = given
        if isinstance(given, dict):
            alone = ROWS in given and not (ROWS in self._names and len(self._names) > 1)
            rows = given[ROWS] if alone else [given]
        if not isinstance(rows, list):
            raise RefusedError(
                422,
                f"got {_shown(rows)} as rows; allowed are a list of rows, "
                f'{{"{ROWS}": [...]}}, or one row as an object',
            )
        if not rows:
            raise RefusedError(422, "got no rows; give one or more")
        if len(rows) > self._most:
            raise too_many(len(rows), self._most)
        return rows

    @property
    def _names(self) -> list[str]:
        return self._columns or self._inputs

    def plain(self, rows: Sequence[Any]) -> Reading | None:
        """Returns rows of a table whose cells are plain; `None` if not all are.

        Raises:
            RefusedError: A row is no object, or lacks a column.
        """
        if self._plain is None:
            return None
        try:
            examples = self._plain.read(rows)
        except (KeyError, TypeError, AttributeError):
            self._check(rows)
            raise
        return None if examples is None else Reading(examples)

    def read(self, rows: Sequence[Any]) -> Reading:
        """Returns rows.

        Raises:
            RefusedError: A cell is none of its column.
            DataError: Values do not fit an input.
        """
        if self._schema.source == "arrays":
            return read_noting(self._schema, self._arrays(rows))
        self._check(rows)
        frame = pd.DataFrame({name: [row[name] for row in rows] for name in self._columns})
        reading = read_noting(self._schema, frame)
        for lost in reading.lost:
            if lost.kind != "categorical":
                raise self._no_cell(lost, rows)
        return reading

    def _arrays(self, rows: Sequence[Any]) -> dict[str, list[Any]]:
        names = self._inputs
        if len(names) == 1 and not any(isinstance(row, dict) for row in rows):
            return {names[0]: list(rows)}
        self._check_names(rows, names, "input")
        return {name: [row[name] for row in rows] for name in names}

    def _check(self, rows: Sequence[Any]) -> None:
        self._check_names(rows, self._columns, "column")
        for at, row in enumerate(rows, start=1):
            for name in self._columns:
                if not isinstance(row[name], _CELL):
                    allowed = _ALLOWED[self._kinds[name]]
                    raise RefusedError(
                        422,
                        f"row {at}, column {name!r}: got {_shown(row[name])}; allowed is {allowed}",
                        column=name, row=at, got=_shown(row[name]), allowed=allowed,
                    )  # fmt: skip

    def _check_names(self, rows: Sequence[Any], names: Sequence[str], what: str) -> None:
        for at, row in enumerate(rows, start=1):
            if not isinstance(row, dict):
                raise RefusedError(
                    422, f"row {at}: got {_shown(row)}; allowed is an object with a value for each "
                    f"{what}", row=at, got=_shown(row),
                )  # fmt: skip
            lacking = next((name for name in names if name not in row), None)
            if lacking is not None:
                others = [name for name in row if name not in names]
                close = did_you_mean(lacking, others).replace("did you mean", "it has")
                raise RefusedError(
                    422,
                    f"row {at} lacks the {what} {lacking!r}{close.replace('?', '')}; give it, or null "
                    "where it is missing",
                    column=lacking, row=at, allowed=list(names),
                )  # fmt: skip

    def _no_cell(self, lost: LostCells, rows: Sequence[Any]) -> RefusedError:
        got, allowed = _shown(rows[lost.row - 1][lost.column]), _ALLOWED[lost.kind]
        return RefusedError(
            422,
            f"row {lost.row}, column {lost.column!r}: got {got}; allowed is {allowed}",
            column=lost.column, row=lost.row, got=got, allowed=allowed,
        )  # fmt: skip


def too_many(rows: int, most: int) -> RefusedError:
    """Returns what is said of a request with too many rows."""
    return RefusedError(
        413, f"got {rows} rows; at most {most} are allowed in a request; send several", got=rows,
        allowed=most,
    )  # fmt: skip


def _shown(value: Any) -> str:
    """A value as messages show it, cut where it is long."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."
