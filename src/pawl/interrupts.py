"""Ctrl-C and SIGTERM: leave soon and tidily, and at once when asked again.

The first signal raises `Interrupted` in the main thread, so that what is open is closed. That alone
is not enough: a handler runs between two bytecodes, so a long call into C holds it back, and what it
raises may be swallowed by a library or by the user's model. A thread therefore watches the signals
as they arrive. A second one, or a few seconds after the first, ends the process where it stands; the
ledger is written so that this loses nothing that was finished.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

EXIT_CODE = 130
_GRACE_SECONDS = 5.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = "\x1b[?25h"


class Interrupted(BaseException):
    """Raised by signals; not a `KeyboardInterrupt`, which typer would turn into a silent exit."""


class Interrupts:
    """What a process knows of being interrupted.

    Attributes:
        folder: The campaign's folder, which the line at the end names if there is a ledger in it.
        asked: Whether a signal has arrived.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.asked = False
        self._told = threading.Lock()

    def tell(self) -> None:
        """Says once, in one line, that it was interrupted and how to go on."""
        if not self._told.acquire(blocking=False):
            return
        line = "pawl: interrupted"
        if self.folder is not None and (self.folder / "ledger.sqlite").is_file():
            how = f"pawl optimize --resume {shlex.quote(str(self.folder))}"
            line += f"; what was finished is kept, go on with {how}"
        # Not through `sys.stderr`: the main thread may hold its lock.
        with contextlib.suppress(OSError):
            cursor = _SHOW_CURSOR if os.isatty(2) else ""
            os.write(2, f"{cursor}{line}\n".encode(errors="replace"))

    def _raise(self, *_: object) -> None:
        if not self.asked:
            self.asked = True
            raise Interrupted

    def _watch(self, pipe: int) -> None:
        """Waits for the first signal, then for a second or for the time to leave tidily to be over."""
        if not _next_signal(pipe, None):
            os.close(pipe)
            return
        _next_signal(pipe, _GRACE_SECONDS)
        self.tell()
        os._exit(EXIT_CODE)


def _next_signal(pipe: int, seconds: float | None) -> bool:
    """Waits for one of our signals; `False` when the time or the pipe ends first."""
    while select.select([pipe], [], [], seconds)[0]:
        got = os.read(pipe, 1)
        if not got:
            return False
        if got[0] in _SIGNALS:
            return True
    return False


@contextlib.contextmanager
def watched() -> Iterator[Interrupts]:
    """Handles SIGINT and SIGTERM while it is open; to be entered in the main thread.

    An ignored SIGINT (of a background job) stays ignored.
    """
    state = Interrupts()
    taken = [n for n in _SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, state._raise) for number in taken}
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    pipe_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=state._watch, args=(reading,), daemon=True).start()
    try:
        yield state
    finally:
        if not state.asked:  # else the watch goes on, should the interpreter's own end hang
            signal.set_wakeup_fd(pipe_before)
            os.close(writing)
            for number, handler in before.items():
                signal.signal(number, handler)
