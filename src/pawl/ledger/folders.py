"""The folder of a campaign: which one may be taken, and where results go when nobody says where."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from pawl.errors import LedgerError, option, printable
from pawl.ledger.database import LEDGER_FILE, LEFT_BY_A_KILLED_START

TRAINED = "train.json"
"""What a training leaves beside its ledger, which cannot be gone on with."""


@contextlib.contextmanager
def new_folder(name: str, within: str | Path = "runs") -> Iterator[Path]:
    """Makes the folder where the results on a source go by default; removes it if it stays empty.

    Making it is what claims it: campaigns that start in the same second get folders of their own.

    Raises:
        LedgerError: It cannot be made.
    """
    stem = printable(Path(name.partition(".py:")[0]).name.split(".")[0]) or "campaign"
    parent = Path(within).absolute()
    was_there, first = parent.exists(), parent / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, number = first, 1
    while True:
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            number += 1
            folder = first.with_name(f"{first.name}-{number}")
        except OSError as error:
            raise _unwritable(folder, error) from None
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()
            if not was_there:
                parent.rmdir()


def place_of(folder: str | Path) -> Path:
    """Returns where a folder is, whatever directory is changed to later, if it can be used.

    Raises:
        LedgerError: It is something's already.
    """
    refuse_taken(Path(folder))
    return Path(folder).absolute()


def make_folder(folder: Path) -> None:
    """Makes a folder that a ledger is to be started in.

    Raises:
        LedgerError: It is something's already, or cannot be made.
    """
    refuse_taken(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None


def refuse_taken(folder: Path) -> None:
    """Raises `LedgerError` if a ledger cannot be started in a folder as it is something's."""
    if not folder.exists():
        return
    try:
        entries = {entry.name for entry in folder.iterdir()} - LEFT_BY_A_KILLED_START
    except OSError as error:
        raise _unwritable(folder, error) from None
    if LEDGER_FILE in entries and TRAINED in entries:
        raise LedgerError(f"{str(folder)!r} holds a training already; give another {option('out')}")
    if LEDGER_FILE in entries:
        raise LedgerError(
            f"{str(folder)!r} holds a campaign already; go on with it by "
            f"{option('resume', folder)}, or give another {option('out')}"
        )
    if entries:
        raise LedgerError(
            f"{str(folder)!r} is not empty (it has {sorted(entries)[0]!r}); give a new folder"
        )


def _unwritable(folder: Path, error: OSError) -> LedgerError:
    return LedgerError(
        f"cannot write to {str(folder)!r}: {error.strerror}; give another {option('out')}"
    )
