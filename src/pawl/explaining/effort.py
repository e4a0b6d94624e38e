"""How much work an explanation may be: by rules, and by a clock where one is given."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Effort:
    """The time that there is.

    Without a number of seconds nothing depends on the clock, so the same seed gives the same numbers.

    Attributes:
        deadline: When to stop, as `time.monotonic()` tells it; `None` for never.
    """

    deadline: float | None = None
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, seconds: float | None) -> Effort:
        """Returns that of so many seconds from now on."""
        started = time.monotonic()
        return cls(None if seconds is None else started + seconds, started)

    def part(self, share: float) -> Effort:
        """Returns that of a share of the time left."""
        if self.deadline is None:
            return self
        now = time.monotonic()
        return Effort(now + share * max(0.0, self.deadline - now), self.started)

    @property
    def over(self) -> bool:
        """Whether it is time to stop."""
        return self.deadline is not None and time.monotonic() >= self.deadline
