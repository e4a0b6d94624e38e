"""Readers of users' own: what turns a file of another format into rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pawl.data.archives import ARCHIVE_SUFFIXES, IMAGE_SUFFIXES
from pawl.data.csvfiles import CSV_SUFFIXES, PARQUET_SUFFIXES
from pawl.errors import DataError, PawlError, first_line

ARRAY_SUFFIX = ".npz"
_SHIPPED = (*ARCHIVE_SUFFIXES, *IMAGE_SUFFIXES, *CSV_SUFFIXES, *PARQUET_SUFFIXES, ARRAY_SUFFIX)
_OWN: dict[str, Callable[[Path], Any]] = {}


def register_reader(suffix: str, read: Callable[[Path], Any]) -> None:
    """Adds a reader of your own for this process: files of this suffix are then data, and new rows.

    Args:
        suffix: As in `.jsonl`, in any case.
        read: Gets the file's path and returns a data frame, `(inputs, targets)` or a `Dataset`, as
            `pawl.optimize` takes them; for new rows the targets may be absent.

    Raises:
        DataError: It is no suffix, or one that is read already.

    Example:
        >>> import pandas as pd
        >>> import pawl
        >>> pawl.register_reader(".jsonl", lambda path: pd.read_json(path, lines=True))
        >>> from pawl.data.readers import unregister_reader
        >>> unregister_reader(".jsonl")
    """
    name = suffix.lower()
    if not name.startswith(".") or len(name) < 2 or "/" in name:
        raise DataError(f"got the suffix {suffix!r}; give one with its dot, as in '.jsonl'")
    if name in _SHIPPED or name in _OWN:
        raise DataError(f"files {name} are read already; give another suffix")
    if not callable(read):
        raise DataError(f"got {read!r} as reader; give a function of a path")
    _OWN[name] = read


def unregister_reader(suffix: str) -> None:
    """Takes a reader that was registered out again; unknown ones are ignored."""
    _OWN.pop(suffix.lower(), None)


def own_suffixes() -> tuple[str, ...]:
    """Returns the suffixes of readers that were registered."""
    return tuple(_OWN)


def read_own(path: Path) -> tuple[str, Any] | None:
    """Returns a file's name without its suffix, and what its reader of the user's made of it.

    `None` if there is no reader for it.

    Raises:
        DataError: The reader raised.
    """
    for suffix in sorted(_OWN, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            try:
                return path.name[: -len(suffix)], _OWN[suffix](path)
            except PawlError:
                raise
            except Exception as error:
                raise DataError(
                    f"the reader of {suffix} files raised {type(error).__name__} at {path.name!r}: "
                    f"{first_line(error)}"
                ) from error
    return None
