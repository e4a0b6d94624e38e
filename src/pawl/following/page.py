"""A campaign's page in a process beside it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pawl.errors import TaskError
from pawl.serving.listening import bound

HOST = "127.0.0.1"
_TOKEN_BYTES = 32


@dataclass(frozen=True)
class Page:
    """A page that is served.

    Attributes:
        address: Where, with its token.
        process: Which serves it.
    """

    address: str
    process: subprocess.Popen[bytes]

    def linger(self) -> None:
        """Waits until its process has ended."""
        self.process.wait()


@contextlib.contextmanager
def page_beside(folder: Path) -> Iterator[Page]:
    """Serves the page of the campaign in a folder, which may begin later, until this block is left.

    The port is taken and the token made here, so the address is known at once. The process that serves
    it ends with this one, however this one does; that it dies changes nothing here.

    Raises:
        TaskError: What it needs is not installed.
    """
    for name in ("starlette", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise TaskError(
                f"serving needs {name}, which is not installed; run pip install 'pawl[serve]'"
            )
    with bound(HOST, 0) as listening:
        port, token = listening.getsockname()[1], secrets.token_urlsafe(_TOKEN_BYTES)
        number = listening.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "pawl.following.serving_page", str(number), str(os.getpid()),
             str(folder.absolute())],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(number,), start_new_session=True,
        )  # fmt: skip
    try:
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # not by the command line, which others can read
            process.stdin.write(f"{token}\n".encode())
            process.stdin.close()
        yield Page(f"http://{HOST}:{port}/?token={token}", process)
    finally:
        process.kill()
        process.wait()
