"""Files of a campaign's folder: there whole or not at all, and read only as they were written."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from pawl.errors import LedgerError, option
from pawl.ledger.database import sync_folder


def digest_of(data: bytes) -> str:
    """Returns the SHA-256 of a file, in hex."""
    return hashlib.sha256(data).hexdigest()


def write_whole(path: Path, data: bytes) -> Path:
    """Writes a file so that also a power cut leaves all of it, or none; returns its path.

    Raises:
        OSError: It cannot be written.
    """
    temporary = path.with_name(path.name + ".new")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        sync_folder(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)  # half a file takes space that is short
        raise
    return path


def read_whole(path: Path, sha256: str | None) -> bytes:
    """Returns a file's bytes.

    Args:
        path: Where it is.
        sha256: What was written, by `digest_of`; `None` if nothing was.

    Raises:
        LedgerError: It is missing, or not what was written.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LedgerError(
            f"cannot read {str(path)!r}: {error.strerror}; put it back, or start anew with another "
            f"{option('out')}"
        ) from None
    if digest_of(data) != sha256:
        raise LedgerError(
            f"{str(path)!r} is not what the campaign wrote; put it back, or start anew with another "
            f"{option('out')}"
        )
    return data
