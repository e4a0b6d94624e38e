"""Dates written as text, in the orders that people write them.

Shape legend: `U` distinct texts.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pawl.errors import DataError
from pawl.options import DATE_ORDERS

_TIME = (
    r"(?:(?:T|,? )\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})"
    r"(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?"
    r"\s*(?P<half>[AaPp][Mm])?\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?)?"
)
_YEAR, _MONTH, _DAY = r"(?P<year>\d{4})", r"(?P<month>\d{1,2})", r"(?P<day>\d{1,2})"
_SEPARATED = r"(?P<by>[-/.])"
_PATTERNS = {
    "ymd": re.compile(f"{_YEAR}{_SEPARATED}{_MONTH}(?P=by){_DAY}{_TIME}"),
    "dmy": re.compile(f"{_DAY}{_SEPARATED}{_MONTH}(?P=by){_YEAR}{_TIME}"),
    "mdy": re.compile(f"{_MONTH}{_SEPARATED}{_DAY}(?P=by){_YEAR}{_TIME}"),
}
_ZONE = re.compile(r".*(?<!\d)\d{1,2}:\d{2}.*?(?:Z|[+-]\d{2}:?\d{2})", re.DOTALL)
_LOOKED_AT = 1000
_NOON = 12
_DIGITS = 6  # of microseconds


def parse_dates(texts: NDArray[Any], date_format: str) -> NDArray[np.datetime64]:
    """Reads texts as dates.

    Times with a zone are instants, in UTC; those without keep the clock as written.

    Args:
        texts: `[U]` distinct texts without white space at their ends.
        date_format: An order of year, month and day, or a format of `datetime.strptime`.

    Returns:
        `[U]` datetime64[us], NaT where there is no date.

    Raises:
        DataError: If the format cannot be used.
    """
    fractions: Any = 0
    if date_format in _PATTERNS:
        matches = [_PATTERNS[date_format].fullmatch(text) for text in texts]
        texts = np.array([_canonical(match) for match in matches], dtype=object)
        # Read apart: with %f, pandas knows no years before 1677.
        fractions = np.array([_microseconds(match) for match in matches], dtype="timedelta64[us]")
        date_format = "%Y%m%d%H%M%S%z"
    try:
        series = pd.Series(texts, dtype="str")
        dates = pd.to_datetime(series, format=date_format, errors="coerce", utc=True)
    except ValueError as error:
        raise DataError(
            f"the date format {date_format!r} cannot be used ({error}); correct it"
        ) from error
    whole = dates.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    found: NDArray[np.datetime64] = whole + fractions
    return found


def with_zones(texts: NDArray[Any], date_format: str) -> NDArray[np.bool_]:
    """Returns which texts of dates have a zone, `[U]`; see `parse_dates`."""
    if date_format not in _PATTERNS:
        return np.zeros(len(texts), dtype=np.bool_)  # such formats have none
    return np.fromiter((_ZONE.fullmatch(text) is not None for text in texts), np.bool_, len(texts))


def _canonical(match: re.Match[str] | None) -> str | None:
    if match is None:
        return None
    hour = int(match["hour"] or 0)
    if match["half"]:
        if not 1 <= hour <= _NOON:
            return None
        hour = hour % _NOON + (_NOON if match["half"] in ("PM", "pm", "Pm", "pM") else 0)
    day = f"{match['year']}{match['month']:0>2}{match['day']:0>2}"
    zone = "+0000" if match["zone"] in (None, "Z") else match["zone"]
    return f"{day}{hour:02}{match['minute'] or '00'}{match['second'] or '00'}{zone}"


def _microseconds(match: re.Match[str] | None) -> int:
    fraction = match["fraction"] if match is not None else None
    return int(fraction[:_DIGITS].ljust(_DIGITS, "0")) if fraction else 0


def choose_format(
    texts: NDArray[Any], codes: NDArray[np.int64], given: str | None
) -> tuple[str, bool]:
    """Chooses how a column's dates are written.

    Args:
        texts: `[U]` distinct texts.
        codes: `[R]` indices into them, -1 where missing.
        given: The user's format, tried first.

    Returns:
        What reads most rows, and whether day and month could as well be the other way round.
    """
    formats = DATE_ORDERS if given is None else (given, *(o for o in ("ymd",) if o != given))
    few = texts[:_LOOKED_AT]
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    read = {}
    for each in formats:
        some = (~np.isnat(parse_dates(few, each))).any()
        read[each] = int(counts[~np.isnat(parse_dates(texts, each))].sum()) if some else 0
    best = max(read, key=lambda each: read[each])  # the first of those that read as many
    return best, best == "dmy" and given is None and read["dmy"] == read["mdy"] > 0
