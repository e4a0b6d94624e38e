"""How much memory reading data may take: a share of what this machine, or its container, has left."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pawl.cgroups import ROOT, groups, text
from pawl.errors import DataError

VARIABLE = "PAWL_MEMORY"
_SHARE = 0.5  # training needs the rest
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_KIB = 2**10
_TWO_DIGITS = 10
_NAMES = ("bytes", "KiB", "MiB", "GiB", "TiB")
# By version of control groups: limit, use, and the cache that makes room.
_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}


def allowed(root: Path = ROOT) -> int:
    """Returns how many bytes reading data may take: half of what is left, or `PAWL_MEMORY`.

    Raises:
        DataError: `PAWL_MEMORY` is no amount of memory.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return int(available(root) * _SHARE)
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]?)(?:i?b)?", wanted.strip().lower())
    if match is None:
        raise DataError(
            f"got {VARIABLE}={wanted!r}; allowed is an amount of memory such as 500MB or 8GB"
        )
    return int(float(match[1]) * _UNITS[match[2]])


def available(root: Path = ROOT) -> int:
    """Returns the bytes of memory that are left to this process, as the system says now.

    A container sees its host's memory; what it may take of that is limited by a control group
    (version 1 or 2), which any group around its own may narrow further.

    Args:
        root: Where `proc` and `sys` are found.
    """
    left = _field(text(root / "proc/meminfo"), "MemAvailable:")
    if left is not None:
        left *= _KIB
    else:  # not every system has it
        left = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(0, min((left, *_groups(root))))


def refuse_more(needed: float, limit: int, name: str, instead: str) -> None:
    """Raises `DataError` where reading `name` needs more bytes than are allowed."""
    if needed > limit:
        raise DataError(
            f"{name} needs {size(needed)} of memory or more to be read; {size(limit)} are allowed "
            f"(half of what is left, or {VARIABLE}); {instead}"
        )


def size(num_bytes: float) -> str:
    """An amount of memory as messages show it: `3.2 GiB`."""
    unit = 0
    while num_bytes >= _KIB and unit < len(_NAMES) - 1:
        num_bytes, unit = num_bytes / _KIB, unit + 1
    return f"{num_bytes:,.{1 if unit and num_bytes < _TWO_DIGITS else 0}f} {_NAMES[unit]}"


def _groups(root: Path) -> Iterator[int]:
    """Yields what each of the process's control groups, and each around them, has left."""
    for version, folder in groups("memory", root):
        limit, use, cache = _FILES[version]
        most, taken = text(folder / limit).strip(), text(folder / use).strip()
        if most.isdigit() and taken.isdigit():  # "max" stands for no limit
            freed = _field(text(folder / "memory.stat"), cache) or 0
            yield int(most) - max(0, int(taken) - freed)


def _field(lines: str, name: str) -> int | None:
    for line in lines.splitlines():
        words = line.split()
        if words[:1] == [name] and words[1:2] and words[1].isdigit():
            return int(words[1])
    return None
