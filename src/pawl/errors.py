"""The exceptions pawl raises on purpose.

    PawlError
    ├── TaskError       the task is not one pawl can optimize (metric, model, loss, kind)
    ├── DataError       the data cannot be read or used
    ├── RecipeError     a recipe names an unknown technique or setting, or techniques clash
    ├── TrialError      a trial could not be trained (the campaign records it and goes on)
    ├── LedgerError     a campaign's folder cannot be written, opened or resumed
    ├── BundleError     a bundle is incomplete, changed or does not fit the data given
    ├── BudgetError     no result within the budget (exit code 3)
    └── LimitError      no model within the limits (exit code 3)

Each message is one line that says what was got, what is allowed and what to do. The command line
prints it and ends with `exit_code`. Options are named in the words of the face in use: `option`.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import shlex
from collections.abc import Iterable, Iterator
from contextvars import ContextVar

_command_line: ContextVar[bool] = ContextVar("command line", default=False)
_campaigns: ContextVar[str] = ContextVar("what starts campaigns", default="optimize")


class PawlError(Exception):
    """Base of every error that pawl raises on purpose."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class TaskError(PawlError):
    """The task is not one pawl can optimize."""


class DataError(PawlError):
    """The data cannot be read or used."""


class RecipeError(PawlError):
    """A recipe names something unknown, or its techniques clash."""


class TrialError(PawlError):
    """A trial could not be trained."""


class LedgerError(PawlError):
    """A campaign's folder cannot be written, opened or resumed."""


class BundleError(PawlError):
    """A bundle is incomplete, changed, or does not fit the data."""


class BudgetError(PawlError):
    """No result could be had within the budget."""

    exit_code = 3


class LimitError(PawlError):
    """No model keeps within the limits that were given; the nearest is kept."""

    exit_code = 3


class DataWarning(UserWarning):
    """Rows to predict hold what the model cannot take as it is."""


class BundleWarning(UserWarning):
    """A bundle is used otherwise than where it was made."""


def did_you_mean(got: str, allowed: Iterable[str]) -> str:
    """Returns `" (did you mean 'adamw'?)"` for the closest of `allowed`, or an empty string."""
    close = difflib.get_close_matches(got, list(allowed), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, for messages that must fit on one."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"


def printable(text: str) -> str:
    """Returns text with control characters as escapes, such as `\\x1b`.

    What a user's file or option holds would else move a terminal's cursor, or worse.
    """
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


# Controls, breaks of lines, what turns the direction of text, and halves of characters.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@contextlib.contextmanager
def command_line_words() -> Iterator[None]:
    """While open, messages name options as the command line does."""
    token = _command_line.set(True)
    try:
        yield
    finally:
        _command_line.reset(token)


@contextlib.contextmanager
def campaigns_of(name: str) -> Iterator[None]:
    """While open, messages say that campaigns are gone on with by this command or function."""
    token = _campaigns.set(name)
    try:
        yield
    finally:
        _campaigns.reset(token)


def option(name: str, value: object = None) -> str:
    """Returns an option as it is given here: `--budget 10m` to the command, `budget='10m'` in Python."""
    if _command_line.get():
        flag = f"--{name.replace('_', '-')}"
        return flag if value is None or value is True else f"{flag} {shlex.quote(str(value))}"
    shown = value if isinstance(value, int | float | None) else str(value)
    return f"{name}=" if value is None else f"{name}={shown!r}"


def kept(folder: object) -> str:
    """Returns what is said of a campaign that was cut off."""
    return f"what was finished is kept, go on with {go_on(folder)}"


def go_on(folder: object) -> str:
    """Returns what goes on with the campaign in a folder, to be typed here."""
    how, name = option("resume", folder), _campaigns.get()
    return f"pawl {name} {how}" if _command_line.get() else f"pawl.{name}({how})"
