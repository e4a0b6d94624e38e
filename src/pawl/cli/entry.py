"""Runs a command, and turns whatever it raises into one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import sys
from itertools import pairwise
from typing import Any, cast

import typer

from pawl.cli.commands import app
from pawl.errors import PawlError, command_line_words, option, printable
from pawl.supervisor import Link

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# Click's `UsageError`; typer brings its own copy of it or not, by its version.
_UsageError = cast("type[Exception]", typer.BadParameter.__mro__[1])


def run(link: Link) -> int:
    """Runs the command line.

    Returns:
        0, 2 (wrong input) or 3 (budget too short), as the process is to end. 130 (interrupted) and what
        else may befall a process are the supervisor's.
    """
    with command_line_words():
        try:
            return int(app(standalone_mode=False, obj=link) or 0)
        except Exception as error:
            if link.asked:  # whatever an interrupted library made of it
                raise
            if isinstance(error, _UsageError):
                return _refuse_usage(error)
            if isinstance(error, PawlError):
                return _fail(str(error), error.exit_code)
            if isinstance(error, OSError) and error.errno in _NO_SPACE:
                again = f"free some space, then try again (a campaign: with {option('resume')})"
                return _fail(f"{error}; {again}", 2)
            raise


def _refuse_usage(error: Any) -> int:
    """Says in one line what is wrong with the arguments; without any, the help has been shown."""
    message = " ".join(error.format_message().split())
    if len(sys.argv) > 1 and message:
        names = getattr(getattr(error, "param", None), "opts", ())
        given = [value for name, value in pairwise(sys.argv) if name in names]
        got = f" (got {given[-1]!r})" if given else ""
        command = error.ctx.command_path if error.ctx else "pawl"
        return _fail(f"{message.rstrip('.')}{got}; {command} -h says what is allowed", 2)
    return 2


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError):  # standard error may be a file on a full disk
        sys.stderr.write(f"pawl: {printable(message)}\n")
    return code
