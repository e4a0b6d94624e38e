"""A text file's encoding, and what separates its cells."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
from collections.abc import Callable, Iterable
from itertools import islice

from pawl.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
_MARKS = (  # UTF-32's begins like UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_WESTERN = ("cp1252", "latin-1")
LOOKED_AT = 65_536
"""Characters by which a file's separator is found."""
MARK = "\ufeff"
_ROWS = 50


def decode(data: bytes, name: str, encoding: str | None) -> tuple[str, list[str]]:
    """Decodes a file by the encoding given, its byte order mark, as UTF-8, or as Western European.

    Returns:
        The text, and a note where the encoding is a guess.

    Raises:
        DataError: If it is no text of the encoding, or of none that is tried.
    """
    found, notes = find_encoding(lambda: (data,), name, encoding)
    # A mark of the same encoding is no part of the text.
    return data.decode(found).removeprefix(MARK), notes


def find_encoding(
    parts: Callable[[], Iterable[bytes]], name: str, encoding: str | None
) -> tuple[str, list[str]]:
    """Finds the encoding of a file; see `decode`.

    Args:
        parts: Begins anew with the file's bytes, in parts.
        name: What messages call the file.
        encoding: Which one was given.

    Raises:
        DataError: There is no such encoding, or the file is not in it.
    """
    start = next(iter(parts()), b"")
    marked = next((known for mark, known in _MARKS if start.startswith(mark)), None)
    wanted = encoding or marked or "utf-8"
    try:
        at = _first_other(parts(), wanted)
    except LookupError:
        raise DataError(
            f"got the encoding {encoding!r}, which there is not; allowed are Python's, such as "
            "utf-8, cp1252 and utf-16"
        ) from None
    if at is None:
        return wanted, []
    if encoding or marked or b"\0" in start[:LOOKED_AT]:
        raise DataError(
            f"{name} is not {wanted.upper()} at byte {at}; name its "
            "encoding by the option encoding, or save it as UTF-8, for example with iconv -t utf-8"
        )
    # Latin-1 has a character for every byte.
    guess = next(each for each in _WESTERN if _first_other(parts(), each) is None)
    shown = "Windows-1252" if guess == "cp1252" else "Latin-1"
    note = f"{name} is not UTF-8 at byte {at} and was read as {shown}; the option encoding names another"
    return guess, [note]


def _first_other(parts: Iterable[bytes], encoding: str) -> int | None:
    """Returns the place of the first byte that is no text of an encoding; `None` if all are."""
    with contextlib.suppress(UnicodeError):
        b"a".decode(encoding)  # some that there are are for no text
    decoder = codecs.getincrementaldecoder(encoding)()
    before = 0  # bytes that are decoded, without those that wait for the rest of a character
    try:
        for part in parts:
            waiting = len(decoder.getstate()[0])
            decoder.decode(part)
            before += waiting + len(part) - len(decoder.getstate()[0])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return before + error.start
    except UnicodeError:  # a mark that is missing
        return 0
    return None


def find_separator(text: str, name: str) -> str:
    """Finds what separates the cells of a file by its first rows.

    It is the separator that gives them all as many cells, and most. Where none does, the header
    decides: commas, or else whichever it has most of.
    """
    if ".tsv" in name.lower():
        return "\t"
    start = text[:LOOKED_AT].lstrip("\r\n")
    whole = len(text) <= LOOKED_AT
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
