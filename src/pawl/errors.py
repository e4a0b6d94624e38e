"""The exceptions pawl raises on purpose.

    PawlError
    ├── TaskError       the task is not one pawl can optimize (metric, model, loss, kind)
    ├── DataError       the data cannot be read or used
    ├── RecipeError     a recipe names an unknown technique or setting, or techniques clash
    ├── TrialError      a trial could not be trained (the campaign records it and goes on)
    ├── LedgerError     a campaign's folder cannot be written, opened or resumed
    ├── BundleError     a bundle is incomplete, changed or does not fit the data given
    └── BudgetError     no result within the budget (exit code 3)

Each message is one line that says what was got, what is allowed and what to do. The command line
prints it and ends with `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PawlError(Exception):
    """Base of every error that pawl raises on purpose."""

    exit_code = 2


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


class DataWarning(UserWarning):
    """Rows to predict hold what the model cannot take as it is."""


def did_you_mean(got: str, allowed: Iterable[str]) -> str:
    """Returns `" (did you mean 'adamw'?)"` for the closest of `allowed`, or an empty string."""
    close = difflib.get_close_matches(got, list(allowed), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, for messages that must fit on one."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"
