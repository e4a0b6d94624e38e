"""Limits: which of the models that lose little enough keep within them, and which is nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pawl.compression.result import Measured
from pawl.errors import option
from pawl.options import LimitOptions

KEEPS = 1.0
_HEADROOM = {"max_latency": 1.1}
"""How many times as much may be measured in another process, of another hour, as in this one."""


@dataclass(frozen=True)
class Limits:
    """What a model may cost.

    Attributes:
        options: As they were given.
        batch: Rows of a call whose latency counts.
    """

    options: LimitOptions
    batch: int = 1

    def latency(self, measured: Measured) -> tuple[float, float]:
        """Returns the median latency, and what counts of it, in milliseconds.

        That is the 95th percentile of calls, or the upper end of the median's 95% interval if that is
        more (or if there is no percentile on record).
        """
        m = measured
        if self.batch == 1:
            return m.latency_ms, max(m.latency_interval[1], m.latency_p95 or 0.0)
        return m.batch_latency_ms, max(m.batch_latency_interval[1], m.batch_latency_p95 or 0.0)

    def excess(self, measured: Measured) -> Mapping[str, float]:
        """Returns each limit's name with what the model costs as a multiple of it.

        A latency counts by its 95th percentile, so that one which keeps within the limit is likely to
        do so the next time, too.
        """
        found = {}
        given = self.options
        if given.most_ms is not None:
            found["max_latency"] = self.latency(measured)[1] / given.most_ms
        if given.most_bytes is not None:
            found["max_size"] = measured.size_bytes / given.most_bytes
        if given.most_memory is not None:
            assert measured.memory_bytes is not None
            found["max_memory"] = measured.memory_bytes / given.most_memory
        return found

    def keeps(self, measured: Measured) -> bool:
        """Tells whether a model keeps within all limits."""
        return self.room(measured) >= 1.0

    def keeps_safely(self, measured: Measured) -> bool:
        """Tells whether a model keeps within all limits, and would if it were measured again."""
        return all(
            times * _HEADROOM.get(name, 1.0) <= KEEPS
            for name, times in self.excess(measured).items()
        )

    def room(self, measured: Measured) -> float:
        """Returns by which factor a model's costs may grow, or must shrink, to be at the limits."""
        most = max(self.excess(measured).values(), default=0.0)
        return 1.0 / most if most > 0 else float("inf")

    def missed(self, measured: Measured, bare: int | None = None) -> list[str]:
        """Says of each limit that is not kept what the model costs.

        Args:
            measured: The model's costs.
            bare: Bytes of memory without any model.
        """
        told = []
        for name, times in self.excess(measured).items():
            if times <= KEEPS:
                continue
            if name == "max_latency":
                spent, slow = self.latency(measured)
                what = f"takes {spent:.3g} ms (95% of calls at most {slow:.3g})"
            elif name == "max_size":
                what = f"has {measured.size_bytes:,} bytes"
            else:
                what = f"takes {measured.memory_bytes:,} bytes"
                what += "" if bare is None else f", {bare:,} of them before it is loaded"
            told.append(f"{option(name, getattr(self.options, name))}: the nearest {what}")
        return told


def chosen(limits: Limits, measured: Sequence[Measured], losses: Sequence[float], last: int) -> int:
    """Returns which model is left: the last one kept if that keeps the limits.

    Else the one that is shown to lose least of those that do; if none does, the nearest.

    Args:
        limits: The limits.
        measured: Costs of the models that lose little enough.
        losses: The upper bounds of what they lose.
        last: The model that all kept steps have made.
    """
    if limits.keeps(measured[last]):
        return last
    within = [at for at, each in enumerate(measured) if limits.keeps(each)]
    if within:
        return min(within, key=lambda at: losses[at])
    return max(range(len(measured)), key=lambda at: limits.room(measured[at]))
