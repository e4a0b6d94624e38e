"""Where a campaign's seconds go: by phase, with waiting for a core and compiling apart.

Processes tell how long they were ready to run while others had the cores (Linux keeps it for every
thread). Phases are for the reader. The end of a campaign with a budget is also planned by what waiting
has cost so far (`Session.slowdown`).
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from pawl.execution.listener import Listener

_NANOSECOND = 1e-9
_SCHEDULING = Path("/proc/self/schedstat")  # of the main thread
_FIRST = "read"


@dataclass
class Counted:
    """Seconds of this process and its workers so far.

    Attributes:
        waiting: That workers waited for a core, over the number that worked at once.
        compiling: That a compiler took.
    """

    waiting: float = 0.0
    compiling: float = 0.0


counted = Counted()


def own_waiting() -> float:
    """Returns the seconds that this process's main thread was ready to run and had no core.

    0 where the system does not tell.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        return _NANOSECOND * int(_SCHEDULING.read_text(encoding="ascii").split()[1])
    return 0.0


def waiting() -> float:
    """Returns the seconds that this process and its workers waited for a core so far."""
    return own_waiting() + counted.waiting


@dataclass
class Spent:
    """What a phase took, in seconds; waiting and compiling are parts of it."""

    seconds: float = 0.0
    waiting: float = 0.0
    compiling: float = 0.0


class Timekeeper:
    """A listener that notes what phases take, and tells another what it is told.

    Args:
        listener: The other.
        before: Seconds that the campaign had run when this process began to keep its time.
    """

    def __init__(self, listener: Listener, before: float) -> None:
        self.listener = listener
        self.phases: dict[str, Spent] = {}
        self._name = _FIRST
        self._begun = time.monotonic() - before
        self._waited = self._compiled = 0.0

    def phase(self, name: str, detail: str) -> None:
        """A phase has begun."""
        self.note()
        self._name = name
        self.listener.phase(name, detail)

    def progress(self, *, trials: int, best: float | None, left: float | None) -> None:
        """Work has gone on."""
        self.listener.progress(trials=trials, best=best, left=left)

    def note(self) -> dict[str, Spent]:
        """Returns what phases took until now, the present one included."""
        now, waited, compiled = time.monotonic(), waiting(), counted.compiling
        spent = self.phases.setdefault(self._name, Spent())
        seconds = now - self._begun
        spent.seconds += seconds
        spent.waiting += min(seconds, waited - self._waited)
        spent.compiling += min(seconds, compiled - self._compiled)
        self._begun, self._waited, self._compiled = now, waited, compiled
        return self.phases
