"""The ledger's file: its tables, its lock, its transactions."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from pawl.errors import LedgerError

LEDGER_FILE = "ledger.sqlite"
LOCK_FILE = ".lock"
NEW_FILE = f"{LEDGER_FILE}.new"
LEFT_BY_A_KILLED_START = {LOCK_FILE, NEW_FILE, f"{NEW_FILE}-journal"}
SCHEMA_VERSION = 1
TABLES = """
CREATE TABLE campaign (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE units (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, phase TEXT NOT NULL,
    payload TEXT NOT NULL, seconds REAL NOT NULL, elapsed REAL NOT NULL
);
CREATE TABLE trials (
    id INTEGER PRIMARY KEY, unit INTEGER NOT NULL REFERENCES units(id), record TEXT NOT NULL
);
CREATE INDEX trials_by_unit ON trials(unit);
CREATE TABLE decisions (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE touches (claim TEXT PRIMARY KEY, unix_time REAL NOT NULL);
CREATE TABLE artifacts (name TEXT PRIMARY KEY, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL);
"""


class Transaction:
    """Commits on success, rolls back on any exception, and turns database errors into one line."""

    def __init__(
        self, db: sqlite3.Connection, unwritten: Callable[[str, str], LedgerError]
    ) -> None:
        self._db, self._unwritten = db, unwritten

    def __enter__(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise self._unwritten(LEDGER_FILE, str(error)) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
            elif self._db.in_transaction:  # a full disk may have rolled back already
                self._db.execute("ROLLBACK")
        except sqlite3.Error as failure:
            with contextlib.suppress(sqlite3.Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            error = failure
        if isinstance(error, sqlite3.OperationalError):
            raise self._unwritten(LEDGER_FILE, str(error)) from None


def connect(folder: Path) -> sqlite3.Connection:
    """Opens the database of a campaign's folder.

    Raises:
        LedgerError: Another version of pawl wrote it.
    """
    db = sqlite3.connect(folder / LEDGER_FILE, isolation_level=None)
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise LedgerError(
                f"{str(folder)!r} was written by another version of pawl (ledger {version}, this "
                f"one reads {SCHEMA_VERSION})"
            )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        db.close()
        raise
    return db


def acquire(folder: Path) -> int:
    """Returns the descriptor of the folder's lock, which one process holds at a time.

    Raises:
        LedgerError: Another process holds it, or the folder cannot be written.
    """
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise LedgerError(
            f"cannot write to {str(folder)!r}: {error.strerror}; make it writable, or give another "
            "folder"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise LedgerError(
            f"another process is working on the campaign in {str(folder)!r}; wait for it or stop it"
        ) from None
    return descriptor


def sync_folder(folder: Path) -> None:
    """Makes a rename in a folder survive a power cut, before anything that relies on it is written."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
