"""The bytes of a text table, plain or gzipped, read as far as this machine can take the table."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from pawl.data import memory
from pawl.errors import DataError

_CHUNK = 2**20
_SEPARATORS = (b",", b";", b"\t", b"|")
# Measured: what reading takes at its peak for each byte, cell and column, and for a long line.
PER_BYTE = 3
PER_CELL = 48
PER_COLUMN = 10_000
_PER_BYTE_OF_A_LINE = 10
UNREADABLE = (OSError, EOFError, zlib.error)
"""What a file that is not there, or is damaged, raises."""


@dataclass
class _Seen:
    """What has been read of a file, and what memory it needs."""

    num_bytes: int = 0
    num_lines: int = 0
    columns: int = 0
    line: int = 0
    longest: int = 0

    def __post_init__(self) -> None:
        self._counts = dict.fromkeys(_SEPARATORS, 0)

    def add(self, chunk: bytes) -> None:
        """Counts a chunk in."""
        self.num_bytes += len(chunk)
        header = not self.num_lines
        self.num_lines += max(chunk.count(b"\n"), chunk.count(b"\r"))
        for separator in _SEPARATORS:
            self._counts[separator] += chunk.count(separator)
        if header:
            ends = [at for mark in (b"\n", b"\r") if (at := chunk.find(mark)) >= 0]
            first = chunk[: min(ends)] if ends else chunk
            self.columns += max(first.count(separator) for separator in _SEPARATORS)
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        self.line = len(chunk) - 1 - end if end >= 0 else self.line + len(chunk)
        self.longest = max(self.longest, self.line)

    @property
    def needed(self) -> int:
        """Bytes of memory that reading what was seen takes."""
        cells = self.num_lines + max(self._counts.values())
        return (
            PER_BYTE * self.num_bytes
            + PER_CELL * cells
            + PER_COLUMN * self.columns
            + _PER_BYTE_OF_A_LINE * self.longest
        )

    @property
    def needed_for_lines(self) -> int:
        """Bytes of memory that reading a line at a time takes."""
        return PER_COLUMN * self.columns + _PER_BYTE_OF_A_LINE * self.longest


def read_bytes(path: Path) -> bytes:
    """Returns a file's bytes, unpacked if its name ends in `.gz`.

    Raises:
        DataError: It cannot be read, has no line but its first, or needs more memory than is allowed.
    """
    content = io.BytesIO()
    for part in parts_of(path, whole=True):
        content.write(part)
    return content.getvalue()


def parts_of(path: Path, *, whole: bool) -> Iterator[bytes]:
    """Yields a file's bytes in parts, unpacked if its name ends in `.gz`.

    Args:
        path: Where it is.
        whole: Whether all of it is going to be held at once, rather than a line at a time.

    Raises:
        DataError: As `read_bytes`.
    """
    limit, seen = memory.allowed(), _Seen()
    try:
        with open_bytes(path) as file:
            while part := file.read(_CHUNK):
                seen.add(part)
                needed = seen.needed if whole else seen.needed_for_lines
                memory.refuse_more(
                    needed, limit, path.name, "give fewer rows or columns, or a sample of them"
                )
                yield part
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    if seen.num_bytes and not seen.num_lines:
        raise DataError(
            f"{path.name} is a single line of {seen.num_bytes:,} bytes; a header and rows are needed, "
            f"a line each; check the file"
        )


def open_bytes(path: Path) -> IO[bytes]:
    """Opens a file, unpacked if its name ends in `.gz`."""
    if path.name.lower().endswith(".gz"):
        return cast("IO[bytes]", gzip.open(path))
    return path.open("rb")


def unreadable(path: Path, error: BaseException) -> DataError:
    """Returns what is said of a file that cannot be read."""
    reason = getattr(error, "strerror", None) or str(error)
    return DataError(f"{path} cannot be read ({reason}); check the file")
