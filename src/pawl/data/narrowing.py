"""Which numbers lose too much as float32.

Shape legend: `R` rows, `F` columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawl.errors import DataError

_COARSE = 1e-3
_SAME = 1e-14
"""A column varies where its spread is more than this share of its largest number."""


def coarse(given: NDArray[Any], narrow: NDArray[np.float32]) -> list[int]:
    """Returns the columns of which float32 keeps too little, as of seconds since 1970 within a day.

    Numbers far from zero and near to each other: rounding moves one of them by more than a thousandth
    of their standard deviation.

    Args:
        given: `[R, F]`.
        narrow: The same as float32; what is not finite is left out.

    Example:
        >>> seconds = 1.7e9 + 60.0 * np.arange(1000)[:, None]
        >>> coarse(seconds, seconds.astype(np.float32))
        [0]
        >>> coarse(seconds - 1.7e9, (seconds - 1.7e9).astype(np.float32))
        []
    """
    there = np.isfinite(narrow)
    count = np.maximum(there.sum(0), 1)
    whole = np.where(there, given, 0.0).astype(np.float64)
    moved = np.abs(np.where(there, narrow, 0.0) - whole).max(0, initial=0.0)
    from_mean = np.where(there, whole - whole.sum(0) / count, 0.0)
    spread = np.sqrt((from_mean**2).sum(0) / count)
    varies = spread > _SAME * np.abs(whole).max(0, initial=0.0)
    return [int(at) for at in np.flatnonzero(varies & (moved > _COARSE * spread))]


def too_coarse(what: str, narrow: NDArray[np.float32]) -> str:
    """Says of a column what float32 keeps of it.

    Args:
        what: The column.
        narrow: `[R]`.
    """
    return f"{_told(what, narrow)}; take a constant off them, or give times as dates"


def refuse_coarse(what: str, given: NDArray[Any]) -> None:
    """Refuses targets of which float32 keeps too little: models would be judged by what is left.

    Args:
        what: The target.
        given: Its numbers, all of them finite, `[R]`.

    Raises:
        DataError: It keeps too little; see `coarse`.
    """
    narrow = given.astype(np.float32, copy=False)
    if (narrow == given).all() or (given == given[0]).all():
        return
    if coarse(given[:, None], narrow[:, None]) or (narrow == narrow[0]).all():
        raise DataError(f"{_told(what, narrow)}; take a constant off them, or change their unit")


def _told(what: str, narrow: NDArray[np.float32]) -> str:
    steps = np.spacing(np.abs(narrow[np.isfinite(narrow)]).max())
    return (
        f"{what}: its numbers become 32 bits, which here are {steps:g} apart, coarse for what they "
        "spread by"
    )
