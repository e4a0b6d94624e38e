"""Durations as people write them."""

from __future__ import annotations

import math
import re

from pawl.errors import TaskError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_PART = re.compile(rf"({_NUMBER.pattern})\s*([smhd])\s*")


_LEAST_GRACE = 30.0
_GRACE_SHARE = 0.25


def grace(budget: float) -> float:
    """Returns by how many seconds a budget may be overrun before what goes on is taken to hang."""
    return max(_LEAST_GRACE, _GRACE_SHARE * budget)


def hangs(budget: float) -> str:
    """Returns the line for work that did not end in a budget and its grace."""
    return (
        f"still at work {grace(budget):.0f}s after its budget of {budget:.10g}s, so it was ended: "
        "something in the task's code may never return"
    )


def parse(text: str | float) -> float:
    """Returns the seconds of `"90s"`, `"10m"`, `"1h30m"`, `"180"` or a number of seconds.

    Raises:
        TaskError: It is not a duration, or not above zero.
    """
    seconds = 0.0
    if not isinstance(text, str | int | float) or isinstance(text, bool):
        raise TaskError(f"got the budget {text!r}; give seconds, or text such as 90s or 10m")
    if isinstance(text, int | float):
        seconds = float(text)
    else:
        cleaned = text.strip().lower()
        if _NUMBER.fullmatch(cleaned):
            cleaned += "s"
        position = 0
        for match in _PART.finditer(cleaned):
            if match.start() != position:
                break
            seconds += float(match.group(1)) * _UNITS[match.group(2)]
            position = match.end()
        if position != len(cleaned) or not cleaned:
            raise TaskError(f"got the budget {text!r}; write it as 90s, 10m or 1h30m")
    if not math.isfinite(seconds) or seconds <= 0:
        raise TaskError(f"got the budget {text!r}; it must be above zero, such as 90s or 10m")
    return seconds
