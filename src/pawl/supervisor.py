"""The command's first process: waits for the one that works, for signals and for the clock.

What a user's model does may never come back: it may hang in C, swallow what a signal handler raises,
end the process or crash it. So the command forks before anything large is imported. The child works;
the parent can always say how that ended, and end it: a little after an interrupt, at once at a
second one, and when the work goes on long after its budget. The ledger is written so that this loses
nothing that was finished.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pawl.budget import hangs
from pawl.errors import BudgetError, PawlError, campaigns_of, command_line_words, kept, printable
from pawl.processes import end_with_parent

INTERRUPTED = 130
_GRACE_SECONDS = 5.0
"""How long an interrupted process may take to leave tidily."""
_LOOK_SECONDS = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HELD = {*_SIGNALS, signal.SIGCHLD}
"""Signals that wait until both processes are ready: a child may end before its parent goes on."""
_CLEAR_LINE_AND_SHOW_CURSOR = "\r\x1b[K\x1b[?25h"


class Interrupted(BaseException):
    """Raised by SIGTERM; not a `KeyboardInterrupt`, which typer would turn into a silent exit."""


class Link:
    """What the process that works tells its supervisor.

    Args:
        pipe: Where the supervisor reads; `None` if there is none.

    Attributes:
        asked: Whether an interrupt has arrived.
    """

    def __init__(self, pipe: int | None = None) -> None:
        self.asked = False
        self._pipe = pipe

    def tell(self, **known: Any) -> None:
        """Tells what is now known.

        Args:
            known: `folder`, the campaign's, and `command`, which started it; with `budget`, `seconds`:
                how long from now on it may go on; `ended`, the exit code, as the last thing.
        """
        if self._pipe is not None:
            with contextlib.suppress(OSError):  # nobody waits any more
                os.write(self._pipe, (json.dumps(known) + "\n").encode())

    def interrupt(self, *_: object) -> None:
        """Handles a signal: raises `Interrupted`, the first time."""
        if not self.asked:
            self.asked = True
            raise Interrupted


def supervise(work: Callable[[Link], int]) -> NoReturn:
    """Runs `work` in a child, and ends with the exit code that it returns or says why there is none.

    To be called in the main thread, before any other thread is there. An ignored SIGINT (of a
    background job) stays ignored.
    """
    parent = os.getpid()
    reading, writing = os.pipe()
    waking, woken = os.pipe()
    taken = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    child = os.fork()
    if child:
        os.close(writing)
        os.set_blocking(woken, False)
        for number in (*taken, signal.SIGCHLD):
            signal.signal(number, _nothing)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
        _Supervisor(child, reading, waking).run()
    for descriptor in (reading, waking, woken):
        os.close(descriptor)
    end_with_parent(parent)
    _work(work, Link(writing), ignored=signal.SIGINT not in taken)


def _nothing(*_: object) -> None:
    """Lets a signal wake the supervisor, and nothing more."""


def _work(work: Callable[[Link], int], link: Link, *, ignored: bool) -> NoReturn:
    """The life of the child."""
    own = os.getpid()
    # Ctrl-C in a terminal reaches both processes; the supervisor decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else _nothing)
    signal.signal(signal.SIGTERM, link.interrupt)
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
        code = work(link)
    except BaseException:
        if not link.asked:
            raise
        code = INTERRUPTED  # whatever an interrupted library made of it
    finally:
        if os.getpid() != own:  # a copy that the user's code made
            os._exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        link.tell(ended=code)
    sys.exit(code)


class _Supervisor:
    """Waits for the child.

    Args:
        child: Its process.
        messages: Where it tells what is known.
        signals: Where the numbers of signals arrive.
    """

    def __init__(self, child: int, messages: int, signals: int) -> None:
        self._child, self._signals = child, signals
        self._messages: int | None = messages
        self._told = b""
        self._ended: int | None = None
        self._folder: Path | None = None
        self._command = ""
        self._budget = 0.0
        self._seconds: float | None = None
        self._interrupts = 0

    def run(self) -> NoReturn:
        """Waits to the end."""
        while True:
            before = time.monotonic()
            wait = None if self._seconds is None else min(max(self._seconds, 0.0), _LOOK_SECONDS)
            waited_for = [n for n in (self._messages, self._signals) if n is not None]
            ready, _, _ = select.select(waited_for, [], [], wait)
            if self._seconds is not None:
                # A process that was stopped (Ctrl-Z) is not charged for that.
                self._seconds -= min(time.monotonic() - before, 2 * _LOOK_SECONDS)
            if self._messages in ready:
                self._hear()
            if self._signals in ready:
                self._heed(os.read(self._signals, 64))
            if self._seconds is not None and self._seconds <= 0:
                self._kill()

    def _hear(self) -> None:
        assert self._messages is not None
        got = os.read(self._messages, 65536)
        if not got:
            self._messages = None
            return
        *lines, self._told = (self._told + got).split(b"\n")
        for known in map(json.loads, lines):
            if "folder" in known:
                self._folder, self._command = Path(known["folder"]), known["command"]
            if "ended" in known:
                self._ended = known["ended"]
            if not self._interrupts:
                self._budget = known.get("budget", self._budget)
                self._seconds = known.get("seconds")

    def _heed(self, numbers: bytes) -> None:
        for number in numbers:
            if number in _SIGNALS:
                self._interrupts += 1
                if self._interrupts > 1:
                    self._kill()
                self._seconds = _GRACE_SECONDS
                os.kill(self._child, signal.SIGTERM)
        process, status = os.waitpid(self._child, os.WNOHANG)
        if process:
            self._finish(os.waitstatus_to_exitcode(status))

    def _kill(self) -> NoReturn:
        """Ends the child where it stands."""
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
        if self._ended == 0:  # its work was done, and leaving took long
            os._exit(0)
        if self._interrupts:
            self._end(INTERRUPTED, "interrupted")
        self._end(BudgetError.exit_code, hangs(self._budget))

    def _finish(self, status: int) -> NoReturn:
        """Ends as the child has ended."""
        while self._messages is not None and select.select([self._messages], [], [], 0)[0]:
            self._hear()
        if self._interrupts and self._ended != 0:
            self._end(INTERRUPTED, "interrupted")
        if self._ended is not None:
            os._exit(self._ended)
        if status < 0:
            name = signal.Signals(-status).name
            why = ", as when memory runs out" if name == "SIGKILL" else ""
            self._end(128 - status, f"the process was ended by {name}{why}")
        self._end(
            PawlError.exit_code,
            f"the process ended with exit code {status} before it was done, as by os._exit in the "
            "task's code",
        )

    def _end(self, code: int, why: str) -> NoReturn:
        """Says in one line why it ends, and how to go on."""
        line = f"pawl: {why}"
        if self._folder is not None and (self._folder / "ledger.sqlite").is_file():
            with command_line_words(), campaigns_of(self._command):
                line += f"; {kept(self._folder)}"
        with contextlib.suppress(OSError):
            head = _CLEAR_LINE_AND_SHOW_CURSOR if os.isatty(2) else ""
            os.write(2, f"{head}{printable(line)}\n".encode(errors="replace"))
        os._exit(code)
