"""Starts what follows a campaign, and ends it; none of it can hold the campaign up or fail it.

Whatever follows reads the campaign's folder in a process of its own, so that what crashes, waits for a
server that does not answer, or has a disk that is full is not the campaign.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pawl.errors import TaskError, option
from pawl.following.page import page_beside
from pawl.options import FollowOptions, sink_of

_LAST_SECONDS = 15.0
"""What a copy may take behind the end of a campaign; what is not written then is left."""


@contextlib.contextmanager
def followed(folder: Path, call: FollowOptions) -> Iterator[None]:
    """Serves a campaign's page and copies its trials, as it was asked for, while it runs.

    Args:
        folder: The campaign's; its ledger may come later.
        call: What was asked for.

    Raises:
        TaskError: What it needs is not installed.
    """
    listener = getattr(call, "listener", None)
    with contextlib.ExitStack() as stack:
        if call.serve:
            page = stack.enter_context(page_beside(folder))
            _tell(listener, "serve", page.address)
        for text in call.log or ():
            stack.enter_context(_copied(folder, text, listener))
        yield


def _tell(listener: Any, name: str, detail: str) -> None:
    if listener is None:
        sys.stderr.write(f"{name}: {detail}\n")
    else:
        listener.phase(name, detail)


@contextlib.contextmanager
def _copied(folder: Path, text: str, listener: Any) -> Iterator[None]:
    """Copies trials to a sink while a campaign runs, and says at the end what went wrong."""
    kind, where = sink_of(text)
    if kind == "mlflow" and importlib.util.find_spec("mlflow") is None:
        raise TaskError(
            f"got {option('log', text)}, which needs mlflow; run pip install 'pawl[mlflow]'"
        )
    if kind == "tensorboard" or "://" not in where:
        where = str(Path(where).absolute())  # a user's module may change the directory
    command = [sys.executable, "-m", "pawl.following.copying", kind, where, str(folder.absolute())]
    process = subprocess.Popen(
        [*command, str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    whole = False
    try:
        yield
        whole = True
    finally:
        if not whole:  # interrupted, or failed: what is copied is whatever was
            process.kill()
        # Its input ends: it copies what is new, and ends.
        try:
            said, _ = process.communicate(timeout=_LAST_SECONDS)
            trouble = said.decode(errors="replace").strip()
            if whole and process.returncode and not trouble:
                trouble = f"its process ended with exit code {process.returncode}"
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            trouble = "it did not come to its end in time"
        if trouble and whole:
            _tell(listener, "log", f"{text}: not all was logged: {trouble}")
