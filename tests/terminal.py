"""The command line as tests call it: in a process of its own, one thread, short trainings."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import pytest

STEPS = 20
"""Steps of a full trial, in place of thousands."""

_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "COLUMNS": "80", "TERM": "dumb"}
processes = multiprocessing.get_context("forkserver")
"""Processes from a server that has imported everything, so that a test can afford dozens of them."""
processes.set_forkserver_preload(
    [
        "pawl.campaign",
        "pawl.cli.entry",
        "torch.onnx",
        "torch._dynamo",
        "onnxscript",
        "altair",
        "vl_convert",
        "sklearn.metrics",
    ]
)


class Forked:
    """The command in a process from the server; it is asked as `subprocess.Popen` is.

    All is as in a process of its own from the start, except that nothing has to be imported.
    """

    def __init__(self, arguments: list[str], first: str) -> None:
        self.args = ["pawl", *arguments]
        (self._out, out), (self._errors, errors) = (processes.Pipe(False) for _ in range(2))
        given = self.args, first, os.getcwd(), os.environ | _ENVIRONMENT, out, errors
        self._process = processes.Process(target=_command, args=given)
        self._process.start()
        out.close()
        errors.close()
        self.stdout, self.stderr = map(_text, (self._out, self._errors))

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        with ThreadPoolExecutor(2) as pool:
            read = [pool.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            return read[0].result(), read[1].result()

    def send_signal(self, number: signal.Signals) -> None:
        if self._process.pid is not None and self.poll() is None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()


def _text(pipe: Connection) -> TextIO:
    return os.fdopen(pipe.fileno(), closefd=False)


def _command(
    arguments: list[str], first: str, folder: str, environment: dict[str, str],
    out: Connection, errors: Connection,
) -> None:  # fmt: skip
    """What the process does: the command, from the same folder, with the same environment."""
    import torch

    for number, pipe in ((1, out), (2, errors)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    sys.argv = arguments
    from pawl.cli import main

    exec(first, {})
    main()


def start(*arguments: object, quick: bool = True, real: bool = False, first: str = "") -> Any:
    """Starts `pawl` with arguments; with `quick`, its trainings are short.

    Code in `first` runs before that, with everything imported. What is `real` is started as from a
    shell: nothing is imported before, and trainings are as long as they are.
    """
    given = [str(each) for each in arguments]
    if not real:
        short = f"from pawl import pacing; pacing.sizes._STEPS = {STEPS}\n" if quick else ""
        return Forked(given, short + first)
    return subprocess.Popen(
        [sys.executable, "-m", "pawl.cli", *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | _ENVIRONMENT,
    )


def pawl(*arguments: object, real: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs `pawl` with arguments to its end."""
    process = start(*arguments, real=real)
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
