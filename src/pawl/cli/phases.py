"""What a command shows while it works."""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pawl.progress import TerminalProgress

STARTED = time.monotonic()
"""From when a command's budget counts: before what it imports, which takes seconds."""


@contextlib.contextmanager
def phases() -> Iterator[TerminalProgress]:
    """Yields a listener that shows a command's phases."""
    from pawl.progress import TerminalProgress  # noqa: PLC0415

    warnings.filterwarnings("ignore")  # other libraries' advice is not the user's business
    # What the user's own code prints must not end up in what is printed as the result.
    with contextlib.redirect_stdout(sys.stderr), TerminalProgress() as listener:
        yield listener
