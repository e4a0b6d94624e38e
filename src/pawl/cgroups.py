"""The control groups around this process: where Linux keeps what a container may use.

There are two versions, and a system can have both. Any group around the process's own may narrow what
it is granted further, so all of them are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")
"""Where `proc` and `sys` are found."""
_MOUNT = "sys/fs/cgroup"
_UNIFIED = (_MOUNT, f"{_MOUNT}/unified")


def groups(controller: str, root: Path = ROOT) -> Iterator[tuple[int, Path]]:
    """Yields version (1 or 2) and folder of each group of a controller, the process's own first.

    Folders that are not there are among them: inside a container the path may be that of the host, where
    only the hierarchy's root is to be seen.

    Args:
        controller: As the kernel names it: `cpu`, `memory`.
        root: Where `proc` and `sys` are found.
    """
    for line in text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        bases: tuple[str, ...] = _UNIFIED
        if controllers:
            bases = tuple(dict.fromkeys(f"{_MOUNT}/{name}" for name in (controller, controllers)))
        own = PurePosixPath("/" + path.strip().strip("/"))
        for each in (own, *own.parents):
            for base in bases:
                yield (1 if controllers else 2), root / base / str(each).strip("/")


def text(path: Path) -> str:
    """Returns what a file of the system says, nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
