"""The ledger's file: its tables, its lock, its transactions."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from pawl.errors import LedgerError

LEDGER_FILE = "ledger.sqlite"
LOCK_FILE = ".lock"
NEW_FILE = f"{LEDGER_FILE}.new"
LEFT_BY_A_KILLED_START = {LOCK_FILE, NEW_FILE, f"{NEW_FILE}-journal"}
SCHEMA_VERSION = 1
_READERS_END_WITHIN = 2.0
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
    """Commits on success, rolls back on any exception, and turns database errors into one line.

    The first one starts the log if there is none: what only looks at a ledger leaves it as it is.
    """

    def __init__(
        self, db: sqlite3.Connection, unwritten: Callable[[str, str], LedgerError]
    ) -> None:
        self._db, self._unwritten = db, unwritten

    def __enter__(self) -> None:
        with contextlib.suppress(
            sqlite3.OperationalError
        ):  # somebody reads: the next one tries again
            self._db.execute("PRAGMA journal_mode = WAL")
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


def make(folder: Path, identity: str) -> None:
    """Makes the database of a campaign, given what it is started with as JSON.

    Tables come first under another name: a ledger file, once there, is whole.
    """
    temporary = folder / NEW_FILE
    for name in (NEW_FILE, f"{NEW_FILE}-journal"):
        (folder / name).unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(temporary)) as db:
        db.executescript(TABLES)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("INSERT INTO campaign VALUES ('identity', ?)", (identity,))
        db.commit()
    temporary.rename(folder / LEDGER_FILE)
    sync_folder(folder)


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
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        db.close()
        raise
    return db


def start_log(db: sqlite3.Connection) -> None:
    """Lets readers and who writes go on side by side; does nothing where that is so already."""
    db.execute("PRAGMA journal_mode = WAL")


def disconnect(db: sqlite3.Connection) -> None:
    """Closes a database so that nothing but its file is left.

    Readers beside it cannot write, so one that closes last leaves the log where it is, and one that
    looks at a closed database makes an empty log and leaves that. Without a log there is nothing to
    leave. Where it cannot be put away (a reader that stays, a full disk), it stays and loses nothing.
    """
    until = time.monotonic() + _READERS_END_WITHIN
    with contextlib.closing(db), contextlib.suppress(sqlite3.Error):
        while _has_log(db) and time.monotonic() < until:
            time.sleep(0.01)


def _has_log(db: sqlite3.Connection) -> bool:
    """Puts the log away if nobody reads; tells whether it is still there."""
    try:
        return bool(db.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "wal")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            return True
        raise


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
