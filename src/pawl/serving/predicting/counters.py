"""What a server counts, as Prometheus reads it.

Source:
    Prometheus text format 0.0.4, https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)


@dataclass
class Histogram:
    """How often values were at most each of some bounds.

    >>> sizes = Histogram((1, 2))
    >>> sizes.add(2)
    >>> list(sizes.lines("size"))[1:]
    ['size_bucket{le="2"} 1', 'size_bucket{le="+Inf"} 1', 'size_sum 2', 'size_count 1']
    """

    bounds: tuple[float, ...]
    total: float = 0
    _counts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Counts a value in."""
        self._counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str) -> Iterator[str]:
        """Yields it as Prometheus reads it."""
        below = 0
        for bound, count in zip((*self.bounds, "+Inf"), self._counts, strict=True):
            below += count
            yield f'{name}_bucket{{le="{bound}"}} {below}'
        yield f"{name}_sum {self.total:.9g}"
        yield f"{name}_count {below}"


@dataclass
class Counters:
    """What is counted since the server began."""

    answers: Counter[int] = field(default_factory=Counter)
    seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    batch_rows: Histogram = field(default_factory=lambda: Histogram(ROWS))
    batch_requests: Histogram = field(default_factory=lambda: Histogram(ROWS))
    batch_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))

    def answered(self, status: int, seconds: float) -> None:
        """Counts the answer to a request for predictions."""
        self.answers[status] += 1
        self.seconds.add(seconds)

    def computed(self, rows: int, requests: int, seconds: float) -> None:
        """Counts a batch."""
        self.batch_rows.add(rows)
        self.batch_requests.add(requests)
        self.batch_seconds.add(seconds)

    def text(self, gauges: Iterable[tuple[str, str, float]]) -> str:
        """Returns all of it in the text format, and gauges: name, help, value."""
        lines = [
            *_head("pawl_requests_total", "counter", "Requests for predictions, by their answer."),
            *(
                f'pawl_requests_total{{status="{status}"}} {count}'
                for status, count in sorted(self.answers.items())
            ),
        ]
        for name, what, values in (
            ("pawl_request_seconds", "Time from a request's head to its answer.", self.seconds),
            ("pawl_batch_rows", "Rows computed at once.", self.batch_rows),
            ("pawl_batch_requests", "Requests computed at once.", self.batch_requests),
            ("pawl_batch_seconds", "Time to compute a batch.", self.batch_seconds),
        ):
            lines += [*_head(name, "histogram", what), *values.lines(name)]
        for name, what, value in gauges:
            lines += [*_head(name, "gauge", what), f"{name} {value:.9g}"]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, what: str) -> tuple[str, str]:
    return f"# HELP {name} {what}", f"# TYPE {name} {kind}"


def memory() -> int:
    """Returns the bytes of memory that this process holds; 0 where the system does not say."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0
