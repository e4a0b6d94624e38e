"""What rows of a table see of the rows before them: their columns and their targets.

A row sees the last `N` rows of its series whose time lies at least `ahead` times before its own; rows of
one time never see each other. What is before the first row counts as missing, and so does what an
earlier row lacks. Rows without a target are seen by others, though nothing is learned of them.

Shape legend: `R` rows of a table, `N` steps of a window, `C` numbers of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.data import memory
from pawl.data.block_columns import read_keys, read_times
from pawl.data.encoding import encode_columns, features_by_column, missing_column
from pawl.data.labels import class_codes, encode_labels, read_labels
from pawl.data.numbers import Marks
from pawl.data.types import Column, InputSpec, Schema, TargetColumn, Window
from pawl.errors import DataError

WINDOW = "window"
"""What the input is called."""
_MOST_CATEGORIES = 16
"""Of a column whose categories are seen of earlier rows."""
_FLOAT, _COPIES, _TWO = 4, 2, 2
_CALENDARS = [
    {"year", "month", "day", *more}
    for more in ((), ("hour",), ("hour", "minute"), ("hour", "minute", "second"))
]
"""Names of columns that together are a time."""
_Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Past:
    """What is before the rows of a table.

    Attributes:
        values: What is seen of a row, `[R + 1, C]` float32, NaN where missing; the last is of no row.
        places: The rows that a row sees, oldest first, `[R, N]`; -1 for none.
    """

    values: NDArray[np.float32]
    places: _Integers

    def of(self, rows: _Integers) -> Tensor:
        """Returns the windows of some rows, `[R', N, C]`.

        Raises:
            DataError: They do not fit into memory.
        """
        needed = _FLOAT * _COPIES * len(rows) * self.places.shape[1] * self.values.shape[1]
        memory.refuse_more(
            needed, memory.allowed(), "the window", "give a shorter one, or fewer rows"
        )
        return torch.from_numpy(self.values[self.places[rows]])

    def gaps(self, rows: _Integers) -> NDArray[np.bool_]:
        """Returns which numbers are missing in a row that is seen by one of these, `[C]`."""
        seen = np.unique(self.places[rows])
        missing: NDArray[np.bool_] = np.logical_or.reduce(np.isnan(self.values[seen[seen >= 0]]))
        return missing

    def short(self, rows: _Integers) -> NDArray[np.bool_]:
        """Returns which of the rows see fewer than `N`, `[R']`."""
        found: NDArray[np.bool_] = self.places[rows, 0] < 0
        return found


def window_spec(
    past: Past, window: Window, targets: Sequence[TargetColumn], rows: _Integers
) -> InputSpec:
    """Returns the input that windows are. Targets may always be missing, as before the first row."""
    columns, predicted = _names(window), _target_names(targets)
    missing = past.gaps(rows)
    missing[len(columns) :] = True
    return InputSpec(
        name=WINDOW,
        shape=(window.steps, len(columns) + len(predicted)),
        dtype="float32",
        features=(*columns, *predicted),
        missing=tuple(map(bool, missing)),
    )


def num_seen(schema: Schema) -> int:
    """Returns how many numbers of a step are no targets: those come behind them."""
    return 0 if schema.window is None else len(_names(schema.window))


def seen(schema: Schema) -> list[tuple[str, tuple[int, ...]]]:
    """Returns what rows see of those before them, columns and targets, with their places in a step."""
    if schema.window is None:
        return []
    columns = schema.window.columns
    widths = {
        name: len(own) for name, own in features_by_column(columns, schema.window.features).items()
    }
    widths |= {column.name: len(column.categories) for column in _coded(schema.window)}
    numbers = [column.name for column in columns if column.kind != "categorical"]
    named = [(name, widths[name]) for name in numbers]
    named += [(column.name, widths[column.name]) for column in _coded(schema.window)]
    named += [(column.name, len(_target_names([column]))) for column in schema.targets]
    found, start = [], 0
    for name, width in named:
        found.append((name, tuple(range(start, start + width))))
        start += width
    return found


def seen_columns(columns: Sequence[Column], window: Window) -> tuple[tuple[Column, ...], list[str]]:
    """Returns which columns are seen of earlier rows, and a note on those that are not.

    Not the times, which say no more than the place of a step, not the series, which is the row's own, no
    texts, and no categories of which there are many.
    """
    own = {*window.time, window.series}
    kept = [column for column in columns if column.name not in own and column.kind != "text"]
    many = [column.name for column in kept if len(column.categories) > _MOST_CATEGORIES]
    notes = [
        f"column {name!r} has more than {_MOST_CATEGORIES} categories and is not seen of earlier rows"
        for name in many
    ]
    return tuple(column for column in kept if column.name not in many), notes


def read_past(
    frame: pd.DataFrame, window: Window, targets: Sequence[TargetColumn], decimal: Marks
) -> Past:
    """Reads what is before each row of a table.

    Raises:
        DataError: A column is not there, or a row has no time.
    """
    keys, series = _places_in_time(frame, window)
    coded = _coded(window)
    specs = [
        InputSpec(
            name="numeric", shape=(len(window.features),), dtype="float32", features=window.features
        ),
        InputSpec(name="categorical", shape=(len(coded),), dtype="int64"),
    ]
    given = [spec for spec in specs if spec.shape[0]]
    encoded = encode_columns(frame, window.columns, given, decimal=decimal)
    parts = [encoded["numeric"].numpy()] if window.features else []
    for place, column in enumerate(coded):
        hot = np.eye(len(column.categories) + 1, dtype=np.float32)
        parts.append(hot[encoded["categorical"][:, place].numpy()][:, 1:])
    parts += [_target_numbers(frame, column, decimal) for column in targets]
    values = np.concatenate(parts, 1)
    none = np.full((1, values.shape[1]), np.nan, dtype=np.float32)
    return Past(np.concatenate([values, none]), before(keys, series, window.steps, window.ahead))


def before(keys: _Integers, series: _Integers, steps: int, ahead: int = 1) -> _Integers:
    """Returns the rows that each row sees: the last of its series that are so many times before its own.

    Args:
        keys: Each row's time, `[R]`.
        series: Each row's series, `[R]`.
        steps: How many, `N`.
        ahead: How many different times of the series lie between, and one.

    Returns:
        `[R, N]`, oldest first; -1 where there is none.

    Example:
        >>> before(np.array([5, 6, 6, 7]), np.zeros(4, dtype=np.int64), steps=2).tolist()
        [[-1, -1], [-1, 0], [-1, 0], [1, 2]]
    """
    order = np.lexsort((keys, series))
    key, own = keys[order], series[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (own[1:] != own[:-1]) | (key[1:] != key[:-1])
    starts = np.flatnonzero(fresh)  # where a time of a series begins
    time = np.cumsum(fresh) - 1
    first = np.searchsorted(own, own, side="left")  # where the series begins
    wanted = time - ahead + 1
    reached = wanted > time[first]
    end = np.where(reached, starts[np.maximum(wanted, 0)], first)
    places = end[:, None] - steps + np.arange(steps)
    rows = np.where(places < first[:, None], -1, order[np.maximum(places, 0)])
    found = np.empty((len(order), steps), dtype=np.int64)
    found[order] = rows
    return found


def notes_on_time(frame: pd.DataFrame, window: Window, past: Past, rows: _Integers) -> list[str]:
    """Returns what a reader should know of times: ties, gaps, and rows with little before them."""
    keys, series = _places_in_time(frame, window)
    notes = []
    if ties := len(keys) - len(np.unique(np.stack([keys, series], 1), axis=0)):
        whose = " of their series" if window.series else ""
        more = "" if window.series else "; the option group keeps series apart"
        notes.append(
            f"{ties:,} row(s) have the time of another row{whose}, and rows of one time do not see each "
            f"other{more}"
        )
    steps = _steps_of_time(frame, window, series)
    if len(steps):
        usual = np.median(steps)
        if longer := int((steps > 1.5 * usual).sum()):
            notes.append(
                f"{longer:,} of {len(steps):,} steps in time are longer than usual, the longest "
                f"{steps.max() / usual:,.0f} times: windows and horizons count rows, not time"
            )
    if short := int(past.short(rows).sum()):
        notes.append(
            f"{short:,} row(s) have fewer than {window.steps} rows before them in time; what they lack "
            "counts as missing"
        )
    return notes


def _places_in_time(frame: pd.DataFrame, window: Window) -> tuple[_Integers, _Integers]:
    """Returns each row's time, by its place among all, and its series."""
    names = [str(name) for name in frame.columns]
    for name in (*window.time, *_series(window)):
        if name not in names:
            raise DataError(missing_column(name, names))
    keys = read_keys([frame], window.time, "time", window.date_format)
    if window.series is None:
        return keys, np.zeros_like(keys)
    return keys, read_keys([frame], [window.series], "group", window.date_format)


def _steps_of_time(frame: pd.DataFrame, window: Window, series: _Integers) -> NDArray[np.float64]:
    """Returns how far the different times of each series are apart; nothing where that can't be told."""
    if len(window.time) == 1:
        times = read_times(frame[window.time[0]], window.date_format)
    elif {name.lower() for name in window.time} in _CALENDARS:
        parts = {name.lower(): read_times(frame[name], window.date_format) for name in window.time}
        dates = pd.to_datetime(pd.DataFrame(parts), errors="coerce").to_numpy()
        times = dates.astype("datetime64[us]").astype(np.float64)
        times[np.isnat(dates)] = np.nan
    else:
        return np.zeros(0)
    order = np.lexsort((times, series))
    steps = np.diff(times[order])
    found: NDArray[np.float64] = steps[(np.diff(series[order]) == 0) & (steps > 0)]
    return found


def _target_numbers(
    frame: pd.DataFrame, column: TargetColumn, decimal: Marks
) -> NDArray[np.float32]:
    """Returns a target's numbers, `[R, C']`; NaN where a row has none, or no known class."""
    if column.name not in frame.columns:
        raise DataError(
            f"{missing_column(column.name, list(frame.columns), 'target')}; the model looks at targets "
            "of earlier rows: give the column, empty where they are not known"
        )
    labels = read_labels(frame[column.name], column.name, decimal=decimal)
    there = labels.present
    if not column.classes:
        found = np.full((len(frame), 1), np.nan, dtype=np.float32)
        if there.any():
            found[there, 0] = encode_labels(labels.take(there), ()).numpy()
        return found
    codes = class_codes(labels, column.classes)
    hot = np.eye(len(column.classes), dtype=np.float32)[codes]
    hot[codes < 0] = np.nan
    return hot[:, len(hot[0]) == _TWO :]


def _target_names(targets: Sequence[TargetColumn]) -> list[str]:
    found = []
    for column in targets:
        shown = column.classes[len(column.classes) == _TWO :]
        found += [f"{column.name}={name}" for name in shown] or [column.name]
    return found


def _coded(window: Window) -> list[Column]:
    return [column for column in window.columns if column.kind == "categorical"]


def _names(window: Window) -> list[str]:
    coded = [f"{c.name}={name}" for c in _coded(window) for name in c.categories]
    return [*window.features, *coded]


def _series(window: Window) -> list[str]:
    return [] if window.series is None else [window.series]
