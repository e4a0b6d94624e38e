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
from pathlib import Path

from pawl.cgroups import ROOT, groups, text


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


def cores(root: Path = ROOT) -> Cores:
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
    for version, folder in groups("cpu", root):
        if version == 2:
            yield from _ratio(*text(folder / "cpu.max").split()[:2])
        else:
            yield from _ratio(text(folder / "cpu.cfs_quota_us"), text(folder / "cpu.cfs_period_us"))


def _ratio(quota: str = "", period: str = "") -> Iterator[float]:
    with contextlib.suppress(ValueError):
        granted, every = float(quota), float(period)  # "max" and -1 stand for no limit
        if granted > 0 and every > 0 and math.isfinite(granted):
            yield granted / every
