"""Where a campaign's results go when nobody says where."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from pawl.errors import LedgerError, option, printable


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
            raise LedgerError(
                f"cannot write to {str(folder)!r}: {error.strerror}; give another {option('out')}"
            ) from None
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()
            if not was_there:
                parent.rmdir()
