"""A task's table with windows: which columns are seen of earlier rows, and which of the row itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from pawl.data.block_columns import block_columns, read_keys, split_names
from pawl.data.columns import Inferred, infer_columns
from pawl.data.encoding import features_by_column, missing_column
from pawl.data.numbers import Marks
from pawl.data.types import InputSpec, TargetColumn, Window, list_names
from pawl.data.windows import notes_on_time, read_past, seen_columns, window_spec
from pawl.errors import DataError, TaskError
from pawl.options import ReadOptions


@dataclass(frozen=True)
class Tables:
    """A task's rows, in frames whose index says where in its table a row is.

    Attributes:
        rows: Development rows, that is those of them with a target.
        test: Test rows.
        whole: The table that development rows are from, rows without a target included.
        apart: The table that test rows are from, if that is another one.
    """

    rows: pd.DataFrame
    test: pd.DataFrame
    whole: pd.DataFrame
    apart: pd.DataFrame | None


@dataclass(frozen=True)
class Windowed:
    """What windows add to a table.

    Attributes:
        window: How they are made.
        own: What rows have of their own.
        spec: The input.
        rows: Windows of the development rows, `[R, N, C]`.
        test: Of the test rows.
        notes: What a reader should know.
    """

    window: Window
    own: Inferred
    spec: InputSpec
    rows: Tensor
    test: Tensor
    notes: list[str]


def with_windows(
    tables: Tables,
    inferred: Inferred,
    targets: Sequence[TargetColumn],
    options: ReadOptions,
    decimal: Marks,
) -> Windowed:
    """Adds windows to a task's rows.

    Args:
        tables: The rows.
        inferred: The columns, as development rows have them.
        targets: What is predicted.
        options: Their `window`, `horizon`, `known`, `time`, `group` and `date_format` are used.
        decimal: The decimal marks of numbers written as text.

    Raises:
        TaskError: The window is longer than the table.
        DataError: A column that is named is not there, or windows do not fit into memory.
    """
    window, notes = _window(tables.whole, inferred, options)
    own = inferred
    if options.horizon is not None:
        own = _known(tables.rows, inferred, window, options, decimal)
    places, test_places = tables.rows.index.to_numpy(), tables.test.index.to_numpy()
    past = read_past(tables.whole, window, targets, decimal)
    test_past = past
    if tables.apart is not None:
        frame, first = tables.apart, 0
        if _follows(tables, window):
            frame = pd.concat([tables.whole, tables.apart], ignore_index=True)
            first = len(tables.whole)
        else:
            notes.append(
                "some test rows are not later in time than all others, so they see test rows alone"
            )
        test_past, test_places = read_past(frame, window, targets, decimal), test_places + first
    notes += notes_on_time(tables.whole, window, past, places)
    return Windowed(
        window=window,
        own=own,
        spec=window_spec(past, window, targets, places),
        rows=past.of(places),
        test=test_past.of(test_places),
        notes=[told(window, own), *notes],
    )


def told(window: Window, own: Inferred) -> str:
    """Says what a row sees."""
    columns = [column.name for column in window.columns]
    steps = f"{window.steps} rows before it" + (
        f", the latest {window.ahead} steps before its own" if window.ahead > 1 else ""
    )
    of = f" (of the same {window.series!r})" if window.series else ""
    seen = (
        f"with their targets and {list_names(columns)}" if columns else "with their targets alone"
    )
    mine = list_names([column.name for column in own.columns]) if own.columns else "nothing"
    return f"each row sees the {steps}{of}, {seen}; of itself {mine}"


def _window(
    whole: pd.DataFrame, inferred: Inferred, options: ReadOptions
) -> tuple[Window, list[str]]:
    names = [str(name) for name in whole.columns]
    if options.group is not None and options.group not in names:
        raise DataError(missing_column(options.group, names, "group column"))
    assert options.window is not None
    if options.window > len(whole):
        raise TaskError(
            f"got a window of {options.window:,} rows, and the table has {len(whole):,}; give a shorter "
            "one, or add rows"
        )
    window = Window(
        steps=options.window,
        ahead=options.horizon or 1,
        time=block_columns(options, names),
        date_format=options.date_format or "ymd",
        series=options.group,
    )
    seen, notes = seen_columns(inferred.columns, window)
    numeric = next((spec.features for spec in inferred.inputs if spec.name == "numeric"), ())
    by_column = features_by_column(inferred.columns, numeric)
    features = tuple(name for column in seen for name in by_column.get(column.name, ()))
    return window.model_copy(update={"columns": seen, "features": features}), notes


def _known(
    rows: pd.DataFrame, inferred: Inferred, window: Window, options: ReadOptions, decimal: Marks
) -> Inferred:
    """Returns what of a row is known ahead: its time, its series, and columns that the user names."""
    names = [str(name) for name in rows.columns]
    given = split_names(options.known or (), names)
    for name in given:
        if name not in names:
            raise DataError(missing_column(name, names, "column known ahead"))
    known = {*window.time, *given, window.series}
    kept = [column.name for column in inferred.columns if column.name in known]
    if not kept:
        return Inferred((), (), inferred.notes, inferred.left_out)
    texts = any(column.kind == "text" for column in inferred.columns)
    own = infer_columns(rows[kept], options, decimal, texts=texts)
    return Inferred(own.columns, own.inputs, inferred.notes, inferred.left_out)


def _follows(tables: Tables, window: Window) -> bool:
    """Tells whether all test rows are later than the table that others are from."""
    assert tables.apart is not None
    frames = [tables.whole, tables.apart]
    keys: NDArray[np.int64] = read_keys(frames, window.time, "time", window.date_format)
    return bool(keys[len(tables.whole) :].min() > keys[: len(tables.whole)].max())
