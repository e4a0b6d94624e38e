"""The command line: a thin layer over `pawl.api`, in a process that another watches over."""

from __future__ import annotations

from typing import NoReturn

from pawl.supervisor import Link, supervise


def main() -> NoReturn:
    """Runs the command line; see `pawl.cli.entry.run` for how it ends."""
    supervise(_run)


def _run(link: Link) -> int:
    from pawl.cli.entry import run  # noqa: PLC0415 - what is imported can be interrupted, too

    return run(link)


__all__ = ["main"]
