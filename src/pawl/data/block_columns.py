"""Reads which rows belong together, or come later, from a column of a table or one of the arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.data.blocks import Blocks
from pawl.data.cells import as_dates, as_numbers, as_texts, read_cells
from pawl.data.encoding import missing_column
from pawl.data.types import Inputs
from pawl.errors import DataError
from pawl.options import ReadOptions

_Integers = NDArray[np.int64]

_FEWEST = {"group": 8, "time": 20}
_FEWEST_WITH_CLASS = 5


def block_columns(options: ReadOptions, names: Sequence[str]) -> tuple[str, ...]:
    """Returns the columns of groups or times that the options name; none if they name none.

    Args:
        options: Their `group` and `time` are used.
        names: Those that there are: a name may hold a comma itself.
    """
    if options.time is None:
        return () if options.group is None else (options.group,)
    return split_names(options.time, names)


def split_names(given: str | Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names in texts, of which each may hold several with commas between."""
    parts = [given] if isinstance(given, str) else list(given)
    split = [part for each in parts for part in ([each] if each in names else each.split(","))]
    return tuple(dict.fromkeys(part if part in names else part.strip() for part in split))


def pop_blocks(inputs: Inputs, options: ReadOptions) -> tuple[Inputs, pd.DataFrame]:
    """Takes the arrays of groups or times out of the inputs.

    Returns:
        The inputs of the model, and a frame with these arrays as its columns; without any if one is not
        among the inputs, or none is named.

    Raises:
        DataError: One has more than one value for a row, or there are no other inputs.
    """
    named = block_columns(options, list(inputs))
    rows = len(next(iter(inputs.values())))
    if not all(name in inputs for name in named):
        named = ()
    for name in named:
        if inputs[name].numel() != rows:
            raise DataError(
                f"the array {name!r} has the shape {list(inputs[name].shape)}; one value for each row "
                "is needed, [rows]"
            )
    columns = {name: inputs[name].flatten().numpy() for name in named}
    rest = {name: x for name, x in inputs.items() if name not in named}
    if not rest:
        raise DataError(f"the array {named[0]!r} is the only input; at least one more is needed")
    return rest, pd.DataFrame(columns, index=range(rows))


def read_blocks(
    frame: pd.DataFrame, test: pd.DataFrame | None, options: ReadOptions
) -> tuple[Blocks | None, Blocks | None, list[str]]:
    """Reads the column of groups (any values) or of times (numbers or dates) that the options name.

    Args:
        frame: Of all rows but those given apart.
        test: Test rows that were given apart; they may lack the column.
        options: Their `group`, `time` and `date_format` are used.

    Returns:
        Blocks of the rows and of the test rows, and what a reader should know.

    Raises:
        DataError: There is no such column, a row has no value, there are too few different ones, or
            times are neither numbers nor dates.
    """
    named = block_columns(options, list(frame.columns))
    if not named:
        return None, None, []
    by: Literal["group", "time"] = "time" if options.time is not None else "group"
    for each in named:
        if each not in frame.columns:
            raise DataError(missing_column(each, list(frame.columns), f"{by} column"))
    parts = [frame]
    if test is not None and all(each in test.columns for each in named):
        parts.append(test)
    keys = read_keys(parts, named, by, options.date_format or "ymd")
    mine, apart = keys[: len(frame)], keys[len(frame) :]
    count, fewest, name = len(np.unique(mine)), _FEWEST[by], ", ".join(named)
    if count < fewest:
        raise DataError(
            f"the {by} column {name!r} has {count} different value(s); at least {fewest} are needed, "
            f"so that tests, choices and proof have some each; give another column or leave {by} out"
        )
    gap = (options.horizon or 1) - 1
    blocks = Blocks(by, name, torch.from_numpy(mine), gap)
    if by == "group":
        notes = [f"rows of one {name!r} stay together ({count:,} of them), and it is no feature"]
        shared = int(np.isin(apart, mine).sum())
        if shared:
            notes.append(
                f"{shared} test row(s) are of a {name!r} that the data has as well: scores there say "
                "less about new ones"
            )
    else:
        notes = [f"models train on rows that are earlier by {name!r} than those they are judged on"]
        if gap:
            notes[0] += (
                f", by more than {gap} times: what lies between was not known when they predict"
            )
        if len(apart) and apart.min() <= mine.max():
            notes.append(f"some test rows are not later by {name!r} than all others")
    return blocks, Blocks(by, name, torch.from_numpy(apart), gap) if len(apart) else None, notes


def check_classes(blocks: Blocks | None, strata: Tensor | None, names: Sequence[str]) -> None:
    """Refuses one of two classes that comes in too few groups for tests, choices and proof.

    Args:
        blocks: Of the rows.
        strata: The class of each, `[R]`; `None` if there are not two classes.
        names: Of the classes.

    Raises:
        DataError: There are too few groups with a class.
    """
    if blocks is None or strata is None or blocks.by == "time":
        return
    for code, name in enumerate(names):
        count = len(torch.unique(blocks.keys[strata == code]))
        if count < _FEWEST_WITH_CLASS:
            raise DataError(
                f"the class {name!r} comes in {count} group(s) of {blocks.column!r}; at least "
                f"{_FEWEST_WITH_CLASS} are needed, so that tests, choices and proof have it; add "
                "groups or leave group out"
            )


def read_keys(
    frames: Sequence[pd.DataFrame],
    names: Sequence[str],
    by: Literal["group", "time"],
    date_format: str,
) -> _Integers:
    """Returns each row's group, or the place of its time among all times, by one column or several.

    Raises:
        DataError: A row has no value, or times are neither numbers nor dates.
    """
    each = []
    for name in names:
        columns = [frame[name] for frame in frames]
        column = pd.concat(columns, ignore_index=True) if len(columns) > 1 else columns[0]
        each.append(_read_key(column, name, by, date_format))
    if len(each) == 1:
        return each[0]
    found: _Integers = np.unique(np.stack(each, 1), axis=0, return_inverse=True)[1]
    return found.reshape(-1).astype(np.int64)


def read_times(column: pd.Series[Any], date_format: str) -> NDArray[np.float64]:
    """Returns a column's numbers, or of dates microseconds since 1970; NaN where there is neither."""
    cells = read_cells(column)
    order: NDArray[np.float64] = as_numbers(cells)
    if np.isnan(order).any():
        dates = as_dates(cells, date_format)
        if not np.isnat(dates).all():
            order = np.where(np.isnat(dates), np.nan, dates.astype(np.int64))
    return order


def _read_key(
    column: pd.Series[Any], name: str, by: Literal["group", "time"], date_format: str
) -> _Integers:
    if by == "group":
        keys = as_texts(read_cells(column))[1]
        missing = keys < 0
    else:
        order = read_times(column, date_format)
        if np.isnan(order).all():
            raise DataError(
                f"the time column {name!r} holds neither numbers nor dates; give another, or say how "
                "its dates are written by the option date_format"
            )
        missing = np.isnan(order)
        keys = np.unique(order, return_inverse=True)[1]
    if missing.any():
        raise DataError(
            f"{int(missing.sum())} row(s) have no value in the {by} column {name!r}, the first is row "
            f"{int(missing.argmax()) + 1}; fill it, or leave these rows out"
        )
    return keys.astype(np.int64)
