"""Which of the models that lose little enough is best: by what they cost, measured side by side."""

from __future__ import annotations

from collections.abc import Mapping

from pawl.compression.work import Goals, Work, gained
from pawl.deployment import ROUNDS, Latency

ORIGINAL = -1


def preferred(work: Work, graphs: Mapping[int, bytes]) -> int:
    """Measures models side by side on inputs of the rows for choices, and returns the best one's key.

    What the rows that judge say has no part in it: whichever of the models that pass their test is
    taken, the chance that it loses the margin is at most that of passing any that does.

    Args:
        work: What counts, and how it is measured.
        graphs: Models that lose little enough, by a key; -1 is the original, which is among them.
    """
    if len(graphs) == 1:
        return ORIGINAL
    times = work.timed({str(at): graph for at, graph in graphs.items()}, ROUNDS)
    sizes = {at: len(graph) for at, graph in graphs.items()}
    return best({at: times[str(at)] for at in graphs}, sizes, work.goals)


def best(times: Mapping[int, Latency], sizes: Mapping[int, int], goals: Goals) -> int:
    """Returns which model costs least of those that are worth it in place of the original.

    Where latency counts, the fastest; of those that are as fast (it is not shown to be 1.02 times as
    fast as they are) the smallest. Else the smallest.

    Args:
        times: Of the same rounds, by a key; -1 is the original.
        sizes: Bytes.
        goals: What counts.

    Returns:
        The key.

    Example:
        >>> import numpy as np
        >>> costs = {-1: 2.0, 0: 1.6, 1: 1.0, 2: 1.01}
        >>> times = {at: Latency(np.full(40, ms)) for at, ms in costs.items()}
        >>> sizes = {-1: 900, 0: 100, 1: 400, 2: 300}
        >>> best(times, sizes, Goals())
        2
        >>> best(times, sizes, Goals(latency=False))
        0
    """
    worth = [
        at
        for at in times
        if at != ORIGINAL
        and gained(times[at], times[ORIGINAL], sizes[at], sizes[ORIGINAL]).is_worth(goals)
    ]
    if not worth:
        return ORIGINAL
    if goals.latency:
        fastest = min(worth, key=lambda at: times[at].median)
        worth = [
            at
            for at in worth
            if not gained(times[fastest], times[at], sizes[fastest], sizes[at]).is_faster
        ]
    return min(worth, key=lambda at: sizes[at])
