"""A campaign's ledger, read beside the process that writes it.

Read-only, in short transactions of connections of their own: in SQLite's write-ahead log readers hold
up no writer. What was read is kept and only what is new is read again, as the ledger only grows. Curves
stay in it until they are asked for, so that a large ledger takes little memory.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pawl import budget as budgets
from pawl.errors import LedgerError, PawlError, first_line
from pawl.ledger import LEDGER_FILE, TRAINED, Progress, read_progress, stop_asked
from pawl.ledger.database import SCHEMA_VERSION

SUMMARY_FILE = "summary.json"
SINGLE = {"train": "training", "compare": "comparison", "diagnosis": "diagnosis"}
"""What is no campaign and leaves a ledger, too: as a ledger calls it, and as pages do."""
_RESULTS = {"train": TRAINED, "diagnosis": "diagnosis.json"}
"""What such a thing leaves when it is finished, in place of a summary."""
_TRIALS = """
SELECT trials.id, unit, units.phase, units.seconds, units.elapsed,
       json_remove(record, '$.curve', '$.layers', '$.extra.params')
FROM trials JOIN units ON units.id = unit WHERE trials.id > ? ORDER BY trials.id
"""
_WATCHED = """
SELECT 1 FROM units WHERE key = 'diagnosis' AND json_array_length(payload, '$.training.readings') > 0
"""
_MANY = 200
Curve = list[tuple[float, float | None, float | None]]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training, as lists and charts show it; `Campaign.curves` has its curve.

    Attributes:
        id: Its number in the ledger.
        phase: Which asked for it.
        role: What it was for.
        arm: The arm that it was of, where it is one's.
        recipe: Its settings by technique.
        recipe_id: The recipe's id.
        seed: Its seed.
        epochs: Planned passes.
        status: How it ended.
        score: Validation score.
        holdout: Score of rows that neither training nor stopping saw.
        steps: Steps taken.
        seconds: Its share of the time.
        ended: Campaign seconds by which it was over; within a unit, by its place.
        reason: Why it failed or was pruned.
        cost: What its network costs, where that is on record (`pawl.search.costs`).
    """

    id: int
    phase: str
    role: str
    arm: str
    recipe: dict[str, dict[str, Any]]
    recipe_id: str
    seed: int
    epochs: int
    status: str
    score: float | None
    holdout: float | None
    steps: int
    seconds: float
    ended: float
    reason: str
    cost: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Known:
    """What is known of a campaign at one moment.

    Attributes:
        identity: What it was started with.
        trials: All that ended, in order.
        phases: Seconds of the finished units, by phase.
        elapsed: Campaign seconds at the end of the last unit.
        progress: How far its process is, or was; `None` where nothing is known.
        stopping: Whether it was asked to end.
        summary: What it found, when it is finished.
        trouble: Why it cannot be read; empty if it can.
        watched: Whether there is a training that the diagnosis watched.
    """

    identity: dict[str, Any] = field(default_factory=dict)
    trials: tuple[Trial, ...] = ()
    phases: dict[str, float] = field(default_factory=dict)
    elapsed: float = 0.0
    progress: Progress | None = None
    stopping: bool = False
    summary: dict[str, Any] | None = None
    trouble: str = ""
    watched: bool = False

    @property
    def state(self) -> str:
        """`running`, `stopping` (asked to end), `finished`, `interrupted` or `unreadable`."""
        if self.trouble:
            return "unreadable"
        if self.summary is not None:
            return "finished"
        if self.progress is None or not self.progress.working:
            return "interrupted"
        return "stopping" if self.stopping else "running"

    @property
    def single(self) -> str:
        """What it is that is no campaign, in a word; empty for a campaign."""
        return SINGLE.get(str(self.identity.get("what")), "")

    @property
    def name(self) -> str:
        """What the campaign is of."""
        task = (self.summary or {}).get("task")
        if isinstance(task, dict):
            return str(task.get("name", ""))
        name = self.identity.get("name") or (self.summary or {}).get("name")
        return Path(str(name or self.identity.get("source") or self.single or "campaign")).name

    @property
    def metric(self) -> str:
        """What scores are; empty where that is not known yet."""
        known = (self.summary or {}).get("metric") or (self.progress and self.progress.metric)
        return str(known or "")

    @property
    def maximize(self) -> bool:
        """Whether more is better."""
        known = (self.summary or {}).get("direction") or (self.progress and self.progress.direction)
        return known != "minimize"

    @property
    def budget(self) -> float | None:
        """Seconds that it may take; `None` where it is counted in trials."""
        options = self.identity.get("options", {})
        if options.get("trials") is not None:
            return None
        with contextlib.suppress(PawlError):
            return budgets.parse(options["budget"]) if options.get("budget") else None
        return None

    @property
    def wanted(self) -> int | None:
        """Trials of the search, where it is counted in them."""
        trials = self.identity.get("options", {}).get("trials")
        return trials if isinstance(trials, int) else None


@dataclass(frozen=True)
class Asked:
    """What a page is about: a campaign as it is now, and the address's query."""

    campaign: Campaign
    known: Known
    query: Mapping[str, str]


class Campaign:
    """A campaign's folder, read again and again.

    Args:
        folder: The folder.
        id: What addresses call it.
        label: Where it is, for people.
    """

    def __init__(self, folder: Path, id: str, label: str) -> None:
        self.folder, self.id, self.label = folder, id, label
        self._lock = threading.Lock()
        self._known = Known()
        self._file: tuple[int, int] | None = None
        self._stamp: tuple[Any, ...] = ()
        self._version = 0

    def look(self) -> tuple[Known, int]:
        """Returns what is known now, and a number that grows whenever that is more than the time."""
        with self._lock:
            stamp = self._stamped()
            if stamp != self._stamp:
                known = self._read()
                self._version += known != self._known
                self._known, self._stamp = known, stamp
            return self._known, self._version

    def progress(self) -> Progress | None:
        """Returns how far the campaign's process is, or was."""
        return read_progress(self.folder)

    def _stamped(self) -> tuple[Any, ...]:
        """Returns what differs as soon as something was written.

        By the ledger's last unit: files that are written twice in a tick of the clock look the same.
        """
        ledger: tuple[Any, ...]
        try:
            with self._connected() as db:
                last = db.execute("SELECT MAX(id) FROM units").fetchone()[0]
            ledger = *_inode(self.folder / LEDGER_FILE), last
        except (sqlite3.Error, OSError, LedgerError) as error:
            ledger = (str(error), _stat(self.folder / LEDGER_FILE))
        progress = read_progress(self.folder)
        where = None
        if progress is not None:
            where = progress.working, progress.phase, progress.detail, progress.trained
        results = [_stat(self.folder / name) for name in (SUMMARY_FILE, *_RESULTS.values())]
        return ledger, results, where, stop_asked(self.folder)

    def _read(self) -> Known:
        before = self._known
        try:
            with self._connected() as db:
                file = _inode(self.folder / LEDGER_FILE)
                if file != self._file:  # another ledger, or the first look
                    before, self._file = Known(), file
                identity = before.identity or _identity(db)
                last = before.trials[-1].id if before.trials else 0
                trials = before.trials + tuple(_placed(db.execute(_TRIALS, (last,)).fetchall()))
                units = "SELECT phase, SUM(seconds), MAX(elapsed) FROM units GROUP BY phase"
                phases = db.execute(units).fetchall()
                watched = before.watched or db.execute(_WATCHED).fetchone() is not None
        except (
            sqlite3.Error,
            OSError,
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
        ) as error:
            return Known(trouble=f"the ledger cannot be read: {first_line(error)}")
        except LedgerError as error:
            return Known(trouble=str(error))
        return Known(
            identity=identity,
            trials=trials,
            phases={phase: float(seconds) for phase, seconds, _ in phases},
            elapsed=max((float(elapsed) for *_, elapsed in phases), default=0.0),
            progress=read_progress(self.folder),
            stopping=stop_asked(self.folder),
            summary=_summary(self.folder / _RESULTS.get(str(identity.get("what")), SUMMARY_FILE)),
            watched=watched,
        )

    def curves(self, ids: Sequence[int]) -> dict[int, Curve]:
        """Returns the curves of trials by their numbers: `(step, training loss, validation score)`."""
        marks = ",".join("?" * len(ids[:_MANY]))
        sql = f"SELECT id, json_extract(record, '$.curve') FROM trials WHERE id IN ({marks})"
        try:
            with self._connected() as db:
                rows = db.execute(sql, tuple(ids[:_MANY])).fetchall()
        except (sqlite3.Error, LedgerError):
            return {}
        return {id: [tuple(point) for point in json.loads(text or "[]")] for id, text in rows}

    def layers(self, id: int) -> dict[str, Any]:
        """Returns what instruments read of a trial's layers; empty where there is nothing."""
        return self._json("SELECT json_extract(record, '$.layers') FROM trials WHERE id = ?", id)

    def watched(self) -> dict[str, Any]:
        """Returns the training that the diagnosis watched; empty where there is none."""
        sql = "SELECT json_extract(payload, '$.training') FROM units WHERE key = ?"
        return self._json(sql, "diagnosis")

    def _json(self, sql: str, *given: Any) -> dict[str, Any]:
        try:
            with self._connected() as db:
                row = db.execute(sql, given).fetchone()
            found = json.loads(row[0]) if row and row[0] else {}
        except (sqlite3.Error, LedgerError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        path = self.folder / LEDGER_FILE
        address = f"{path.absolute().as_uri()}?mode=ro"
        try:
            db = _opened(address)
        except sqlite3.OperationalError:
            # Of a finished campaign on a disk that cannot be written, there is no log to read.
            db = _opened(f"{address}&immutable=1")
        try:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA_VERSION:
                raise LedgerError(
                    f"it was written by another version of pawl (ledger {version}, this one reads "
                    f"{SCHEMA_VERSION})"
                )
            yield db
        finally:
            db.close()


def _opened(address: str) -> sqlite3.Connection:
    db = sqlite3.connect(address, uri=True, isolation_level=None, timeout=2.0)
    try:
        db.execute("SELECT COUNT(*) FROM campaign").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def _identity(db: sqlite3.Connection) -> dict[str, Any]:
    row = db.execute("SELECT value FROM campaign WHERE key = 'identity'").fetchone()
    found = json.loads(row[0]) if row else {}
    if not isinstance(found, dict) or not isinstance(found.get("options", {}), dict):
        raise TypeError("what the campaign was started with is not on record")
    return found


def _placed(rows: Sequence[tuple[Any, ...]]) -> Iterator[Trial]:
    """Yields trials of rows of the ledger; those of a unit end one after the other in its time."""
    counts: dict[int, int] = {}
    for _, unit, *_ in rows:
        counts[unit] = counts.get(unit, 0) + 1
    seen: dict[int, int] = {}
    for id, unit, phase, seconds, elapsed, text in rows:
        record = json.loads(text)
        seen[unit] = seen.get(unit, 0) + 1
        ended = elapsed - seconds * (1.0 - seen[unit] / counts[unit])
        recipe, extra = record["recipe"], record["extra"]
        if not all(isinstance(each, dict) for each in (recipe, extra, *recipe.values())):
            raise TypeError("a training's recipe is not one")
        yield Trial(
            id=id, phase=str(phase), role=str(record["role"]), arm=str(extra.get("arm", "")),
            recipe=recipe, recipe_id=str(record["recipe_id"]), seed=int(record["seed"]),
            epochs=int(record["epochs"]), status=str(record["status"]),
            score=_number(record["score"]), holdout=_number(record["holdout"]),
            steps=int(record["steps"]), seconds=float(record["seconds"]), ended=float(ended),
            reason=str(record["reason"]), cost=_cost(extra.get("cost")),
        )  # fmt: skip


def _cost(found: Any) -> dict[str, int]:
    return {str(name): int(value) for name, value in found.items()} if found else {}


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _summary(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _inode(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
