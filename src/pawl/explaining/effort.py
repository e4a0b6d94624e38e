"""How much work an explanation may be: by rules, and by a clock where one is given."""

from __future__ import annotations

import time
from dataclasses import dataclass

_END = 0.3
"""The share of a budget that is for errors, slices and the page."""


@dataclass(frozen=True)
class Effort:
    """The time that there is.

    Without a number of seconds nothing depends on the clock, so the same seed gives the same numbers.

    Attributes:
        deadline: When to stop, as `time.monotonic()` tells it; `None` for never.
    """

    deadline: float | None = None

    @classmethod
    def of(cls, seconds: float | None, started: float | None = None) -> Effort:
        """Returns that of so many seconds, from when the budget began on, but for the end's share."""
        begun = time.monotonic() if started is None else started
        return cls(None if seconds is None else begun + (1.0 - _END) * seconds)

    def part(self, share: float) -> Effort:
        """Returns that of a share of the time left."""
        if self.deadline is None:
            return self
        now = time.monotonic()
        return Effort(now + share * max(0.0, self.deadline - now))

    @property
    def over(self) -> bool:
        """Whether it is time to stop."""
        return self.deadline is not None and time.monotonic() >= self.deadline
