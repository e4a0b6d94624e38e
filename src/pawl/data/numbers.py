"""Numbers written as text, with a decimal point or a decimal comma.

Shape legend: `U` distinct texts.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Marks = Literal[".", ",", ".,", ",."]
"""The decimal marks that may be: one, or both with the one first that decides where both read all."""

# Thousands as people group them, with either mark.
_GROUPED = {
    mark: re.compile(
        rf"[+-]?[1-9]\d{{0,2}}(?P<by>[{other} '\u00a0\u202f\u2019])\d{{3}}"
        rf"(?:(?P=by)\d{{3}})*(?:\{mark}\d*)?"
    )
    for mark, other in ((".", ","), (",", "."))
}
_CURRENCY = r"[$\u00a2-\u00a5\u20a0-\u20cf]"
_FRONT = re.compile(rf"(?P<minus>[+-]?)\s*(?P<sign>{_CURRENCY})\s*(?P<rest>[+-]?[\d.,].*)")
_BEHIND = re.compile(rf"(?P<rest>[+-]?[\d.,].*?)\s*(?P<sign>%|{_CURRENCY})")
_MOSTLY = 0.95
_VOTING_COLUMNS = 500
_VOTING_ROWS = 200


def parse_numbers(texts: NDArray[Any], marks: Marks) -> tuple[NDArray[np.float64], str]:
    """Reads texts as numbers by the decimal mark that reads most of them.

    Args:
        texts: `[U]` distinct texts without white space at their ends.
        marks: Which marks may be, the one first that decides where both read as many.

    Returns:
        `[U]` numbers, NaN where there is none, and the decimal mark.
    """
    found = _parse(texts, marks[0])
    if len(marks) == 1 or not (np.isnan(found) & _with(texts, marks[1])).any():
        return found, marks[0]
    other = _parse(texts, marks[1])
    if (~np.isnan(other)).sum() > (~np.isnan(found)).sum():
        return other, marks[1]
    return found, marks[0]


def find_sign(texts: NDArray[Any], *, every: bool = True) -> str:
    """Returns the sign of money or percent beside numbers, such as `$`; empty if there is none.

    Args:
        texts: `[U]` distinct texts without white space at their ends.
        every: Whether each text needs it; otherwise some may have none.
    """
    sign = ""
    for text in texts:
        own = _split_sign(text)[0]
        if (every and not own) or (own and sign and own != sign):
            return ""
        sign = own or sign
    return sign


def unsigned(texts: NDArray[Any], sign: str) -> NDArray[Any]:
    """Returns texts without a sign beside their numbers; those with another one stay as they are."""
    plain = []
    for text in texts:
        own, rest = _split_sign(text)
        plain.append(rest if own == sign else text)
    return np.array(plain, dtype=object)


def told_sign(what: str, sign: str, first: str) -> str:
    """Returns the note on numbers with a sign beside them, such as the first one."""
    return f"{what}: numbers with {sign!r} beside them (such as {first!r}) are read without it"


def _split_sign(text: str) -> tuple[str, str]:
    if match := _FRONT.fullmatch(text):
        return match["sign"], match["minus"] + match["rest"]
    match = _BEHIND.fullmatch(text)
    return (match["sign"], match["rest"]) if match else ("", text)


def _with(texts: NDArray[Any], mark: str) -> NDArray[np.bool_]:
    return np.fromiter((mark in text for text in texts), dtype=np.bool_, count=len(texts))


def _parse(texts: NDArray[Any], mark: str) -> NDArray[np.float64]:
    if mark == ",":
        # A point is no decimal mark here: what has one is a number only where it groups.
        plain = [text.replace(",", ".") if "." not in text else "" for text in texts]
    else:
        plain = list(texts)
    numbers = pd.to_numeric(pd.Series(plain, dtype=object), errors="coerce")
    values: NDArray[np.float64] = numbers.to_numpy(np.float64, copy=True)
    for place in np.flatnonzero(np.isnan(values)):
        match = _GROUPED[mark].fullmatch(texts[place])
        if match:
            values[place] = float(texts[place].replace(match["by"], "").replace(",", "."))
    return values


def usual_mark(frame: pd.DataFrame, separator: str | None) -> Literal[".", ","] | None:
    """The decimal mark that a table's cells show, or `None` if they don't.

    It is asked where a column alone does not tell: `1.234` is one and a bit, or a thousand and more.

    Args:
        frame: The rows; its first columns and rows are looked at.
        separator: What separates the cells of the file that it comes from.
    """
    votes, unsure = {".": 0, ",": 0}, False
    for place in range(min(frame.shape[1], _VOTING_COLUMNS)):
        column = frame.iloc[:_VOTING_ROWS, place]
        if pd.api.types.is_numeric_dtype(column.dtype):
            continue
        texts = {text.strip() for text in column.tolist() if isinstance(text, str)}
        marked = np.array([text for text in texts if "," in text or "." in text], dtype=object)
        if not len(marked):
            continue
        if sign := find_sign(marked):
            marked = unsigned(marked, sign)
        read = {mark: (~np.isnan(_parse(marked, mark))).mean() for mark in votes}
        best = max(votes, key=lambda mark: read[mark])
        if read[best] < _MOSTLY:
            continue
        if read["."] != read[","]:
            votes[best] += 1
        elif any("," in text for text in marked):
            unsure = True
    if votes["."] != votes[","]:
        return "." if votes["."] > votes[","] else ","
    return "," if unsure and separator not in (None, ",") else None
