"""The command line as tests call it: in a process of its own, one thread, short trainings."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest

STEPS = 20
"""Steps of a full trial, in place of thousands."""

_QUICK = f"import pawl.pacing.sizes as p; p._STEPS = {STEPS}"
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "COLUMNS": "80", "TERM": "dumb"}


def start(*arguments: object, quick: bool = True, first: str = "") -> subprocess.Popen[str]:
    """Starts `pawl` with arguments; with `quick`, its trainings are short.

    Code in `first` runs before that, with everything imported.
    """
    code = f"{_QUICK}; {first}\nfrom pawl.cli import main; main()"
    head = ["-c", code] if quick else ["-m", "pawl.cli"]
    return subprocess.Popen(
        [sys.executable, *head, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | _ENVIRONMENT,
    )


def pawl(*arguments: object, quick: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs `pawl` with arguments to its end."""
    process = start(*arguments, quick=quick)
    out, error = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def run_here(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Runs in this process what the command's process runs; returns exit code, output and errors."""
    from pawl.cli.entry import run
    from pawl.supervisor import Link

    given, sys.argv = sys.argv, ["pawl", *map(str, arguments)]
    try:
        with warnings.catch_warnings():
            code = run(Link())
    finally:
        sys.argv = given
    out, error = capfd.readouterr()
    return code, out, error
