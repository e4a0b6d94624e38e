"""The end of a campaign: the time that what follows the last training takes."""

from __future__ import annotations

import time

END_SECONDS = 8.0
"""Export of twice five models, latency, report."""
SLOWER_FINAL = 1.6
"""How much longer a final recipe trains than a baseline, as planned for."""
RESPLIT_ROWS = 0.94
"""Training rows of a pair of the confirmation, relative to the search's."""
_PROBE_SECONDS = 0.05


def ending() -> float:
    """Returns the seconds of what follows the last training: intervals, export, latency, report."""
    return END_SECONDS * slowdown()


def slowdown() -> float:
    """Returns how much longer work takes by the clock than by the processor: above 1 if it is busy."""
    wall, cpu = time.monotonic(), time.thread_time()
    while time.thread_time() - cpu < _PROBE_SECONDS:
        pass
    return max(1.0, (time.monotonic() - wall) / (time.thread_time() - cpu))
