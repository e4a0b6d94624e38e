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


def block_column(options: ReadOptions) -> str | None:
    """Returns the name of the column of groups or times; `None` if there is none."""
    return options.time if options.group is None else options.group


def pop_blocks(inputs: Inputs, options: ReadOptions) -> tuple[Inputs, pd.DataFrame]:
    """Takes the array of groups or times out of the inputs.

    Returns:
        The inputs of the model, and a frame with the array as its only column; without one if it is not
        among them, or none is named.

    Raises:
        DataError: It has more than one value for a row, or it is the only input.
    """
    name = block_column(options)
    rows = len(next(iter(inputs.values())))
    if name is None or name not in inputs:
        return inputs, pd.DataFrame(index=range(rows))
    if inputs[name].numel() != rows:
        raise DataError(
            f"the array {name!r} has the shape {list(inputs[name].shape)}; one value for each row is "
            "needed, [rows]"
        )
    frame = pd.DataFrame({name: inputs[name].flatten().numpy()})
    rest = {other: x for other, x in inputs.items() if other != name}
    if not rest:
        raise DataError(f"the array {name!r} is the only input; at least one more is needed")
    return rest, frame


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
    name = block_column(options)
    if name is None:
        return None, None, []
    by: Literal["group", "time"] = "time" if options.group is None else "group"
    if name not in frame.columns:
        raise DataError(missing_column(name, list(frame.columns), f"{by} column"))
    parts = [frame[name]]
    if test is not None and name in test.columns:
        parts.append(test[name])
    column = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    keys = _read_keys(column, name, by, options.date_format or "ymd")
    mine, apart = keys[: len(frame)], keys[len(frame) :]
    count, fewest = len(np.unique(mine)), _FEWEST[by]
    if count < fewest:
        raise DataError(
            f"the {by} column {name!r} has {count} different value(s); at least {fewest} are needed, "
            f"so that tests, choices and proof have some each; give another column or leave {by} out"
        )
    blocks = Blocks(by, name, torch.from_numpy(mine))
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
        if len(apart) and apart.min() <= mine.max():
            notes.append(f"some test rows are not later by {name!r} than all others")
    return blocks, Blocks(by, name, torch.from_numpy(apart)) if len(apart) else None, notes


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


def _read_keys(
    column: pd.Series[Any], name: str, by: Literal["group", "time"], date_format: str
) -> _Integers:
    cells = read_cells(column)
    if by == "group":
        keys = as_texts(cells)[1]
        missing = keys < 0
    else:
        order: NDArray[np.float64] = as_numbers(cells)
        if np.isnan(order).any():
            dates = as_dates(cells, date_format)
            if not np.isnat(dates).all():
                order = np.where(np.isnat(dates), np.nan, dates.astype(np.int64))
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
