"""Files beside a ledger: how far its campaign is, and whether it was asked to end.

They are no part of the record: a campaign that is resumed does not read how far it was, and those who
watch read both the ledger and this. Writing them never fails a campaign.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

PROGRESS_FILE = ".progress.json"
STOP_FILE = ".stop"
_STARTED_FIELD = 19  # of /proc/PID/stat, counted behind the name


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a campaign is.

    Attributes:
        phase: Which it is in.
        detail: What it does there.
        trained: Trainings so far.
        best: Best validation score of the search; `None` before the first.
        elapsed: Campaign seconds.
        left: Seconds left of the budget; `None` without one.
        metric: What scores are.
        direction: `maximize` or `minimize`.
        pid: The process that works on it; 0 when it has ended.
        started: When that process was started, as its system counts, to know it from a later one.
        unix_time: When this was written.
    """

    phase: str
    detail: str
    trained: int
    best: float | None
    elapsed: float
    left: float | None
    metric: str
    direction: str
    pid: int
    started: int
    unix_time: float

    @property
    def working(self) -> bool:
        """Whether the process that wrote it is still there."""
        return self.pid > 0 and started_of(self.pid) == self.started


def write_progress(folder: Path, progress: Progress) -> None:
    """Writes how far a campaign is, whole or not at all."""
    path = folder / PROGRESS_FILE
    temporary = path.with_name(f"{path.name}.new")
    try:
        temporary.write_text(json.dumps(asdict(progress), allow_nan=False), encoding="utf-8")
        temporary.rename(path)
    except (OSError, ValueError):  # a full disk, a number that is none
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_progress(folder: Path) -> Progress | None:
    """Returns how far a campaign is, or was when its process ended; `None` where nothing is known."""
    try:
        return Progress(**json.loads((folder / PROGRESS_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def end_progress(folder: Path) -> None:
    """Notes that nobody works on a campaign any more."""
    known = read_progress(folder)
    if known is not None and known.pid:
        write_progress(folder, Progress(**{**asdict(known), "pid": 0, "unix_time": time.time()}))


def ask_to_stop(folder: Path) -> None:
    """Asks the process that works on a campaign to end it with what it has.

    Raises:
        OSError: The folder cannot be written.
    """
    (folder / STOP_FILE).touch()


def stop_asked(folder: Path) -> bool:
    """Tells whether a campaign was asked to end."""
    return os.path.exists(folder / STOP_FILE)


def started_of(pid: int) -> int:
    """Returns when a process was started, in the system's ticks; 0 for one that is there and untold.

    -1 if there is none.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[_STARTED_FIELD])
    except (OSError, ValueError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except PermissionError:
        return 0
    except (OSError, OverflowError):
        return -1
    return -1 if Path("/proc/self/stat").exists() else 0
