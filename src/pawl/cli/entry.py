"""Runs a command, and turns whatever it raises into one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import sys
from itertools import pairwise
from typing import Any, NoReturn, cast

import typer

from pawl.cli.commands import app
from pawl.errors import PawlError
from pawl.interrupts import EXIT_CODE, Interrupted, watched

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# Click's `UsageError`; typer brings its own copy of it or not, by its version.
_UsageError = cast("type[Exception]", typer.BadParameter.__mro__[1])


def main() -> None:
    """Runs the command line; ends with 0, 2 (wrong input), 3 (budget too short) or 130 (interrupted)."""
    with watched() as interrupts:
        try:
            code = app(standalone_mode=False, obj=interrupts)
        except (Interrupted, Exception) as error:
            if interrupts.asked:  # whatever an interrupted library made of it
                interrupts.tell()
                sys.exit(EXIT_CODE)
            if isinstance(error, _UsageError):
                _refuse_usage(error)
            if isinstance(error, PawlError):
                _fail(str(error), error.exit_code)
            if isinstance(error, OSError) and error.errno in _NO_SPACE:
                _fail(f"{error}; free some space, then try again (a campaign: with --resume)", 2)
            raise
    sys.exit(code or 0)


def _refuse_usage(error: Any) -> NoReturn:
    """Says in one line what is wrong with the arguments; without any, the help has been shown."""
    message = " ".join(error.format_message().split())
    if len(sys.argv) > 1 and message:
        names = getattr(getattr(error, "param", None), "opts", ())
        given = [value for name, value in pairwise(sys.argv) if name in names]
        got = f" (got {given[-1]!r})" if given else ""
        command = error.ctx.command_path if error.ctx else "pawl"
        _fail(f"{message.rstrip('.')}{got}; {command} -h says what is allowed", 2)
    sys.exit(2)


def _fail(message: str, code: int) -> NoReturn:
    with contextlib.suppress(OSError):  # standard error may be a file on a full disk
        sys.stderr.write(f"pawl: {message}\n")
    sys.exit(code)
