"""The command line as tests call it: in a process of its own, one thread, short trainings."""

from __future__ import annotations

import os
import subprocess
import sys

STEPS = 20
"""Steps of a full trial, in place of thousands."""

_QUICK = f"import pawl.pacing.sizes as p; p._STEPS = {STEPS}; from pawl.cli import main; main()"
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "COLUMNS": "80", "TERM": "dumb"}


def start(*arguments: object, quick: bool = True) -> subprocess.Popen[str]:
    """Starts `pawl` with arguments; with `quick`, its trainings are short."""
    head = ["-c", _QUICK] if quick else ["-m", "pawl.cli"]
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
