"""The ledger: an append-only SQLite file with one writer, the campaign's driver.

A campaign is a sequence of units. Each is computed from what came before it and written in one
transaction when it is done; asked for again, it is read. Killing the driver so loses at most the
unit in flight, and resuming is running the campaign again: what is in the ledger is not recomputed.
Choices that depend on the clock are written alike (`decide`), so that a resumed campaign repeats
them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pawl.errors import LedgerError, first_line, option
from pawl.ledger.beside import PROGRESS_FILE, STOP_FILE, end_progress
from pawl.ledger.database import (
    LEDGER_FILE,
    LOCK_FILE,
    Transaction,
    acquire,
    connect,
    disconnect,
    make,
    start_log,
)
from pawl.ledger.files import digest_of, read_whole, write_whole
from pawl.ledger.folders import make_folder
from pawl.ledger.records import TrialRecord, Unit

T = TypeVar("T")
_UNITS = "SELECT key, id, phase, payload, seconds, elapsed FROM units"


class Ledger:
    """One campaign's record; use `create` or `open`, and `close` at the end.

    Args:
        folder: The campaign's folder.
        connection: The open database.
        lock: The held lock file.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: int) -> None:
        self.folder = folder
        self._db = connection
        self._lock = lock
        self._started = time.monotonic()
        self._before = float(self._rows("SELECT COALESCE(MAX(elapsed), 0) FROM units")[0][0])

    @classmethod
    def create(cls, folder: Path, identity: dict[str, Any]) -> Ledger:
        """Starts a ledger in a new or empty folder.

        Raises:
            LedgerError: The folder holds something already, or cannot be written.
        """
        make_folder(folder)
        lock = acquire(folder)
        try:
            make(folder, _dumps(identity))
            db = connect(folder)
            start_log(db)
            return cls(folder, db, lock)
        except (sqlite3.Error, OSError) as error:
            os.close(lock)
            raise LedgerError(
                f"cannot write to {str(folder)!r}: {error}; free some space"
            ) from None
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def open(cls, folder: Path) -> Ledger:
        """Opens a campaign's ledger to go on with it.

        Raises:
            LedgerError: There is none, another process has it, or it is of another version.
        """
        if not (folder / LEDGER_FILE).is_file():
            raise LedgerError(
                f"{str(folder)!r} holds no campaign (no {LEDGER_FILE}); give the folder that "
                f"{option('out')} named"
            )
        lock = acquire(folder)
        try:
            ledger = cls(folder, connect(folder), lock)
        except sqlite3.OperationalError as error:  # no space, no right to write, a failing disk
            os.close(lock)
            raise LedgerError(
                f"cannot write the ledger in {str(folder)!r}: {error}; free some space or make the "
                "folder writable, then try again: nothing was changed"
            ) from None
        except sqlite3.Error as error:
            os.close(lock)
            raise LedgerError(f"{str(folder / LEDGER_FILE)!r} is not a ledger: {error}") from None
        except BaseException:
            os.close(lock)
            raise
        try:
            ledger.check()
        except BaseException:
            ledger.close()
            raise
        return ledger

    def check(self) -> None:
        """Reads all that is there once.

        Raises:
            LedgerError: It is damaged, or of the shape of another version.
        """
        try:
            broken = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if broken != "ok":
                raise ValueError(broken)
            for table in ("decisions", "touches", "artifacts"):
                self._db.execute(f"SELECT * FROM {table}").fetchall()
            self._db.execute(_UNITS).fetchall()
            self.identity.items()
            self.units()
        except (sqlite3.Error, ValueError, TypeError, LookupError) as error:
            raise LedgerError(
                f"the ledger in {str(self.folder)!r} is damaged or of another version of pawl "
                f"({first_line(error)}); go on with that version, or start anew with another "
                f"{option('out')}"
            ) from None

    def discard(self) -> None:
        """Deletes the ledger, and the folder if nothing else is in it."""
        ledger = (LEDGER_FILE, f"{LEDGER_FILE}-wal", f"{LEDGER_FILE}-shm", LOCK_FILE)
        for name in (*ledger, PROGRESS_FILE, STOP_FILE):
            (self.folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def close(self) -> None:
        """Closes the database and lets go of the folder."""
        try:
            end_progress(self.folder)
            disconnect(self._db)
        finally:
            os.close(self._lock)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def identity(self) -> dict[str, Any]:
        """What the campaign was started with."""
        rows = self._rows("SELECT value FROM campaign WHERE key = 'identity'")
        return dict(json.loads(rows[0][0]))

    def accept(self, change: dict[str, Any]) -> None:
        """Puts on record that the campaign goes on with something else than it was started with."""
        with self._writing():
            key = f"accepted/{len(self.accepted)}"
            self._db.execute("INSERT INTO campaign VALUES (?, ?)", (key, _dumps(change)))

    @property
    def accepted(self) -> list[dict[str, Any]]:
        """What was accepted, in order."""
        rows = self._rows("SELECT value FROM campaign WHERE key LIKE 'accepted/%' ORDER BY rowid")
        return [json.loads(row[0]) for row in rows]

    @property
    def elapsed(self) -> float:
        """Seconds that the campaign has run, earlier sessions included."""
        return self._before + time.monotonic() - self._started

    def charge(self, seconds: float) -> None:
        """Counts seconds that passed before the ledger was there (imports, reading the data)."""
        self._before += seconds

    def unit(self, key: str) -> Unit | None:
        """Returns a finished unit, or `None`."""
        rows = self._rows(f"{_UNITS} WHERE key = ?", key)
        return None if not rows else self._unit(*rows[0])

    def record(
        self,
        key: str,
        phase: str,
        payload: dict[str, Any],
        trials: Sequence[TrialRecord],
        seconds: float,
    ) -> Unit:
        """Writes a finished unit and its trials in one transaction, and returns it as read back."""
        with self._writing():
            cursor = self._db.execute(
                "INSERT INTO units (key, phase, payload, seconds, elapsed) VALUES (?, ?, ?, ?, ?)",
                (key, phase, _dumps(payload), seconds, self.elapsed),
            )
            self._db.executemany(
                "INSERT INTO trials (unit, record) VALUES (?, ?)",
                [(cursor.lastrowid, _dumps(trial.to_dict())) for trial in trials],
            )
        unit = self.unit(key)
        assert unit is not None
        return unit

    def compute(
        self,
        key: str,
        phase: str,
        work: Callable[[], tuple[dict[str, Any], Sequence[TrialRecord]]],
    ) -> Unit:
        """Returns a unit: read if it is finished, else computed by `work()` and written."""
        found = self.unit(key)
        if found is not None:
            return found
        started = time.monotonic()
        payload, trials = work()
        return self.record(key, phase, payload, trials, time.monotonic() - started)

    def decide(self, key: str, choose: Callable[[], T]) -> T:
        """Returns a choice (JSON-ready): as written, or made by `choose()` now and written."""
        rows = self._rows("SELECT value FROM decisions WHERE key = ?", key)
        if rows:
            return json.loads(rows[0][0])  # type: ignore[no-any-return]
        value = choose()
        with self._writing():
            self._db.execute("INSERT INTO decisions VALUES (?, ?)", (key, _dumps(value)))
        return value

    def decided(self, key: str) -> bool:
        """Tells whether a choice was made."""
        return bool(self._rows("SELECT 1 FROM decisions WHERE key = ?", key))

    def decisions(self, prefix: str) -> list[Any]:
        """Returns the choices whose keys begin so, in the order of their keys."""
        rows = self._rows(
            "SELECT value FROM decisions WHERE substr(key, 1, ?) = ? ORDER BY key",
            len(prefix), prefix,
        )  # fmt: skip
        return [json.loads(row[0]) for row in rows]

    def touch_test(self, claim: str) -> None:
        """Puts on record that the test rows are looked at for a claim, before they are."""
        with self._writing():
            self._db.execute("INSERT OR IGNORE INTO touches VALUES (?, ?)", (claim, time.time()))

    @property
    def test_touches(self) -> int:
        """For how many claims the test rows were looked at."""
        return int(self._rows("SELECT COUNT(*) FROM touches")[0][0])

    def units(self, phase: str | None = None) -> list[Unit]:
        """Returns the finished units in order, of one phase or of all."""
        rows = self._rows(f"{_UNITS} WHERE ? IS NULL OR phase = ? ORDER BY id", phase, phase)
        return [self._unit(*row) for row in rows]

    def trials(self, phase: str | None = None) -> list[TrialRecord]:
        """Returns the trials in order, of one phase or of all."""
        return [trial for unit in self.units(phase) for trial in unit.trials]

    def digest(self) -> str:
        """Returns the SHA-256, in hex, of what the campaign did and found, times aside.

        Units in order with their results, trials with their ids, recipes and metrics, and the
        claims that the test rows were looked at for. With a number of trials in place of a budget,
        the same command on the same machine gives the same digest, killed and resumed or not.
        """
        digest = hashlib.sha256()
        claims = [row[0] for row in self._rows("SELECT claim FROM touches ORDER BY claim")]
        digest.update(_dumps(claims).encode())
        for unit in self.units():
            trials = [trial.timeless() for trial in unit.trials]
            whole = [unit.key, unit.phase, unit.payload, trials]
            digest.update(b"\n" + json.dumps(whole, allow_nan=False, sort_keys=True).encode())
        return digest.hexdigest()

    def _unit(
        self, key: str, row: int, phase: str, payload: str, seconds: float, elapsed: float
    ) -> Unit:
        records = self._rows("SELECT record FROM trials WHERE unit = ? ORDER BY id", row)
        trials = tuple(TrialRecord(**json.loads(record[0])) for record in records)
        return Unit(key, phase, json.loads(payload), trials, seconds, elapsed)

    def write_file(self, name: str, data: bytes) -> Path:
        """Writes a file of the campaign's folder whole or not at all, and records its digest.

        Raises:
            LedgerError: It cannot be written.
        """
        try:
            path = write_whole(self.folder / name, data)
        except OSError as error:
            raise self._unwritten(name, error.strerror or str(error)) from None
        with self._writing():
            self._db.execute(
                "INSERT OR REPLACE INTO artifacts VALUES (?, ?, ?)",
                (name, digest_of(data), len(data)),
            )
        return path

    def read_file(self, name: str) -> bytes:
        """Returns a file that `write_file` wrote.

        Raises:
            LedgerError: It is missing, or not what was written.
        """
        rows = self._rows("SELECT sha256 FROM artifacts WHERE name = ?", name)
        return read_whole(self.folder / name, rows[0][0] if rows else None)

    def _rows(self, sql: str, *parameters: Any) -> list[Any]:
        try:
            return self._db.execute(sql, parameters).fetchall()
        except sqlite3.OperationalError as error:  # reading needs a little space too
            raise self._unwritten(LEDGER_FILE, str(error)) from None

    def _writing(self) -> Transaction:
        return Transaction(self._db, self._unwritten)

    def _unwritten(self, what: str, why: str) -> LedgerError:
        return LedgerError(
            f"cannot write {what!r} in {str(self.folder)!r}: {why}; what was finished is kept: free "
            f"some space, then go on with {option('resume', self.folder)}"
        )


def _dumps(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
