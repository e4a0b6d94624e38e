"""Where a campaign's seconds go: by phase, with waiting for a core and compiling apart.

Processes tell how long they were ready to run while others had the cores (Linux keeps it for every
thread). Times are for the reader; nothing is decided by them.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from pawl.execution.listener import Listener
from pawl.ledger import Ledger

_NANOSECOND = 1e-9
_TASKS = Path("/proc/self/task")
_PREFIX = "spent/"
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
        main = min(int(task.name) for task in _TASKS.iterdir())
        text = (_TASKS / str(main) / "schedstat").read_text(encoding="ascii")
        return _NANOSECOND * int(text.split()[1])
    return 0.0


def waiting() -> float:
    """Returns the seconds that this process and its workers waited for a core so far."""
    return own_waiting() + counted.waiting


class Phases:
    """Writes what each phase of a campaign took.

    Args:
        ledger: Where to.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        written = ledger.decisions(_PREFIX)
        self._number, self._name = len(written), _FIRST
        self._begun = sum(spent["seconds"] for spent in written)
        self._waited = self._compiled = 0.0

    def begin(self, name: str) -> None:
        """Writes what the phase before took, and begins one."""
        now = self.ledger.elapsed
        waited, compiled = waiting(), counted.compiling
        seconds = max(0.0, now - self._begun)
        spent = {
            "phase": self._name,
            "seconds": round(seconds, 3),
            "waiting": round(min(seconds, waited - self._waited), 3),
            "compiling": round(min(seconds, compiled - self._compiled), 3),
        }
        self.ledger.decide(f"{_PREFIX}{self._number:06}", lambda: spent)
        self._number, self._name = self._number + 1, name
        self._begun, self._waited, self._compiled = now, waited, compiled


class Timekeeper:
    """A listener that writes what phases take, and tells another what it is told.

    Args:
        listener: The other.
        phases: Where it is written.
    """

    def __init__(self, listener: Listener, phases: Phases) -> None:
        self.listener = listener
        self.phases = phases

    def phase(self, name: str, detail: str) -> None:
        """A phase has begun."""
        self.phases.begin(name)
        self.listener.phase(name, detail)

    def progress(self, *, trials: int, best: float | None, left: float | None) -> None:
        """Work has gone on."""
        self.listener.progress(trials=trials, best=best, left=left)


def spent_by_phase(ledger: Ledger) -> list[dict[str, float | str]]:
    """Returns what each phase took so far, in the order of their first beginnings.

    With keys `phase`, `seconds`, `waiting`, `compiling`.
    """
    phases: dict[str, dict[str, float | str]] = {}
    for spent in ledger.decisions(_PREFIX):
        name = spent["phase"]
        total = phases.setdefault(name, {"phase": name})
        for key in ("seconds", "waiting", "compiling"):
            total[key] = round(float(total.get(key, 0.0)) + spent[key], 3)
    return list(phases.values())
