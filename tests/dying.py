"""A campaign in a process that is killed at a given write to its folder, or from outside.

Processes come from a server that has imported everything, so that a test can afford dozens of them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from terminal import STEPS

from pawl.ledger.beside import PROGRESS_FILE

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [
        "pawl.campaign",
        "torch.onnx",
        "onnxscript",
        "altair",
        "vl_convert",
        "sklearn.metrics",
        "dying",
    ]
)


_connect = sqlite3.connect


class Writes:
    """Counts what changes the folder, and dies on the spot just before one of these.

    These are the start and the end of each transaction, each file opened for writing and each rename,
    as SQLite reports them to a trace and the interpreter to audit hooks.
    """

    def __init__(self, folder: Path, die_at: int | None, told: Connection) -> None:
        self.folder, self.die_at, self.told = str(folder), die_at, told
        self.count = 0

    def hook(self, event: str, values: tuple[Any, ...]) -> None:
        if PROGRESS_FILE in str(
            values[:1]
        ):  # once a second, so by the clock, and no part of the record
            return
        if event == "os.rename":
            self.write(f"rename to {values[1]}", values[1])
        elif event == "open" and isinstance(values[2], int) and values[2] & os.O_CREAT:
            self.write(f"open {values[0]}", values[0])

    def connect(self, *arguments: Any, **more: Any) -> sqlite3.Connection:
        """The real `sqlite3.connect`, with its statements traced."""
        connection = _connect(*arguments, **more)
        connection.set_trace_callback(self.statement)
        return connection

    def statement(self, sql: str) -> None:
        if sql.startswith(("BEGIN", "COMMIT")):
            self.write(sql, self.folder)

    def write(self, what: str, path: object) -> None:
        if not str(path).startswith(self.folder):
            return
        self.count += 1
        if self.count == self.die_at:
            self.told.send(what)
            os.kill(os.getpid(), signal.SIGKILL)


def _campaign(
    source: str,
    test: str,
    out: str,
    trials: int,
    seed: int,
    die_at: int | None,
    options: dict[str, Any],
    told: Connection,
) -> None:
    import torch

    from pawl import api, pacing

    torch.set_num_threads(1)
    pacing.sizes._STEPS = STEPS
    writes = Writes(Path(out), die_at, told)
    sys.addaudithook(writes.hook)
    sqlite3.connect = writes.connect  # type: ignore[assignment]
    if (Path(out) / "ledger.sqlite").is_file():
        api.optimize(resume=out)
    else:
        api.optimize(source, test=test, trials=trials, seed=seed, out=out, **options)


def run(
    files: tuple[Path, Path],
    out: Path,
    *,
    trials: int,
    seed: int,
    die_at: int | None = None,
    die_after: float | None = None,
    options: dict[str, Any] | None = None,
) -> str | None:
    """Starts the campaign, or goes on with it; returns what it was killed at, `None` if it ended.

    Args:
        files: Development and test rows.
        out: Its folder.
        trials: Of its search.
        seed: Its seed.
        die_at: It kills itself just before this write, counted from one in this process.
        die_after: It is killed after so many seconds.
        options: Others, of one that is started.
    """
    hears, told = _processes.Pipe(duplex=False)
    process = _processes.Process(
        target=_campaign,
        args=(str(files[0]), str(files[1]), str(out), trials, seed, die_at, options or {}, told),
    )
    process.start()
    told.close()
    process.join(die_after)
    if process.is_alive():
        process.kill()
        process.join()
    code = process.exitcode
    process.close()
    if code == 0:
        return None
    assert code == -signal.SIGKILL, code
    return str(hears.recv()) if die_after is None else "the clock"
