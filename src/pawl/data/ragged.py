"""Rows of unlike lengths: padded to the longest, with a mask that tells what is there.

Shape legend: `R` rows, `L` length of the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.errors import DataError

MASK = "_mask"
"""What a padded input's mask is called, behind the input's name."""


def pad(
    value: Any, name: str, *, length: int | None = None, fill: int = 0
) -> tuple[NDArray[Any], NDArray[np.int64]] | None:
    """Pads rows of unlike lengths at their end.

    Args:
        value: The rows; anything but a sequence of arrays that differ in their first axis alone is left
            to others.
        name: What messages call it.
        length: What they are padded to, also where they are alike; the longest row by default.
        fill: What they are padded with.

    Returns:
        The rows `[R, L, ...]`, and what is there as 1 and 0 `[R, L]`; or `None`.

    Raises:
        DataError: A row is longer than `length`.
    """
    if length is None and _is_regular(value):
        return None
    rows = _rows(value)
    if rows is None:
        return None
    lengths = [len(row) for row in rows]
    longest = max(lengths)
    if length is None:
        if longest == min(lengths):
            return None
        length = longest
    if longest > length:
        raise DataError(
            f"input {name!r} has a row of length {longest}; the longest allowed is {length}, as in the "
            "data that the schema comes from; crop it"
        )
    dtype = np.result_type(*{row.dtype for row in rows if len(row)} or {np.dtype(np.int64)})
    padded = np.full((len(rows), length, *rows[0].shape[1:]), fill, dtype=dtype)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    mask = np.arange(length) < np.array(lengths)[:, None]
    return padded, mask.astype(np.int64)


def _is_regular(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype != object)


def _rows(value: Any) -> list[NDArray[Any]] | None:
    """Returns the rows as arrays, if they may differ in their first axis and in nothing else."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if not isinstance(value, np.ndarray | Sequence) or isinstance(value, str) or not len(value):
        return None
    try:
        rows = [np.asarray(row) for row in value]
    except ValueError:  # unlike inside a row
        return None
    shapes = {row.shape[1:] for row in rows if row.shape != (0,)}
    if any(row.ndim == 0 for row in rows) or len(shapes) != 1:
        return None
    if any(row.dtype.kind not in "biuf" for row in rows):
        return None
    shape = next(iter(shapes))
    return [row.reshape(0, *shape) if row.shape == (0,) else row for row in rows]
