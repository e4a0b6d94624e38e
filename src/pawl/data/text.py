"""A text file's encoding, and what separates its cells."""

from __future__ import annotations

import codecs
import csv
import io
from itertools import islice

from pawl.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
_MARKS = (  # UTF-32's begins like UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_WESTERN = ("cp1252", "latin-1")
_LOOKED_AT = 65_536
_ROWS = 50


def decode(data: bytes, name: str, encoding: str | None) -> tuple[str, list[str]]:
    """Decodes a file by the encoding given, its byte order mark, as UTF-8, or as Western European.

    Returns:
        The text, and a note where the encoding is a guess.

    Raises:
        DataError: If it is no text of the encoding, or of none that is tried.
    """
    marked = next((known for mark, known in _MARKS if data.startswith(mark)), None)
    wanted = encoding or marked or "utf-8"
    try:
        # A mark of the same encoding is no part of the text.
        return data.decode(wanted).removeprefix("\ufeff"), []
    except LookupError:
        raise DataError(
            f"got the encoding {encoding!r}, which there is not; allowed are Python's, such as "
            "utf-8, cp1252 and utf-16"
        ) from None
    except UnicodeError as error:
        at = error.start if isinstance(error, UnicodeDecodeError) else 0
        if encoding or marked or b"\0" in data[:_LOOKED_AT]:
            raise DataError(
                f"{name} is not {wanted.upper()} at byte {at}; name its "
                "encoding, or save it as UTF-8, for example with iconv -t utf-8"
            ) from error
    for guess in _WESTERN:
        try:
            text = data.decode(guess)
        except UnicodeDecodeError:
            continue
        shown = "Windows-1252" if guess == "cp1252" else "Latin-1"
        break
    note = f"{name} is not UTF-8 at byte {at} and was read as {shown}; the option encoding names another"
    return text, [note]


def find_separator(text: str, name: str) -> str:
    """Finds what separates the cells of a file by its first rows.

    It is the separator that gives them all as many cells, and most. Where none does, the header
    decides: commas, or else whichever it has most of.
    """
    if ".tsv" in name.lower():
        return "\t"
    start = text[:_LOOKED_AT].lstrip("\r\n")
    whole = len(text) <= _LOOKED_AT
    widths = {separator: _width(start, separator, whole) for separator in SEPARATORS}
    best = max(SEPARATORS, key=lambda separator: widths[separator])
    if widths[best] > 1:
        return best
    header = start.partition("\n")[0]
    counts = {separator: header.count(separator) for separator in SEPARATORS}
    return "," if counts[","] else max(SEPARATORS, key=lambda separator: counts[separator])


def _width(start: str, separator: str, whole: bool) -> int:
    """How many cells each of the first rows has, or 0 if they differ."""
    reader = csv.reader(io.StringIO(start, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        rows = list(islice(reader, _ROWS))
    except csv.Error:
        return 0
    if not whole and len(rows) < _ROWS:
        rows = rows[:-1]  # it may be cut
    widths = {len(row) for row in rows if any(cell.strip() for cell in row)}
    return widths.pop() if len(widths) == 1 else 0
