"""How many cores this process may use: of the machine's, its affinity mask's and its containers' quota.

A container sees all cores of its host. What it may use of them is its share of time, a quota of a
control group (version 1 or 2), which any group around its own may narrow further.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_ROOT = Path("/")
_UNIFIED = ("sys/fs/cgroup", "sys/fs/cgroup/unified")
_CPU = ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct")


@dataclass(frozen=True)
class Cores:
    """What a process may use.

    Attributes:
        machine: Cores that the system shows.
        allowed: Of these, those of the process's affinity mask.
        quota: Cores' worth of time that its control groups grant; `None` if they do not limit it.
    """

    machine: int
    allowed: int
    quota: float | None

    @property
    def usable(self) -> int:
        """Threads that may run at once: part of a core counts as one."""
        granted = self.allowed if self.quota is None else math.ceil(self.quota)
        return max(1, min(self.allowed, granted))

    def __str__(self) -> str:
        found = [f"{self.machine} of the machine"]
        if self.allowed < self.machine:
            found.append(f"{self.allowed} of the affinity mask")
        if self.quota is not None:
            found.append(f"a quota of {self.quota:.3g}")
        return ", ".join(found)


def cores(root: Path = _ROOT) -> Cores:
    """Returns how many cores this process may use, as the system says now.

    Args:
        root: Where `proc` and `sys` are found.
    """
    machine = os.cpu_count() or 1
    allowed = machine
    with contextlib.suppress(AttributeError, OSError):  # not on every system
        allowed = len(os.sched_getaffinity(0))
    return Cores(machine, allowed, min(_quotas(root), default=None))


def _quotas(root: Path) -> Iterator[float]:
    """Yields the quotas of the process's control groups and all groups around them."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for group in _around(path):
            if not controllers:
                for base in _UNIFIED:
                    yield from _ratio(*_text(root / base / group / "cpu.max").split()[:2])
            elif "cpu" in controllers.split(","):
                for base in _CPU:
                    folder = root / base / group
                    yield from _ratio(
                        _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
                    )


def _around(path: str) -> list[str]:
    """Returns a group's path and those of the groups around it, relative to the hierarchy's root.

    Inside a container the path may be that of the host, where only the root is there.
    """
    group = PurePosixPath("/" + path.strip().strip("/"))
    return [str(each).strip("/") for each in (group, *group.parents)]


def _ratio(quota: str = "", period: str = "") -> Iterator[float]:
    with contextlib.suppress(ValueError):
        granted, every = float(quota), float(period)  # "max" and -1 stand for no limit
        if granted > 0 and every > 0 and math.isfinite(granted):
            yield granted / every


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
