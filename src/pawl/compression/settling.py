"""Which of the models that lose little enough is left, by what is measured side by side."""

from __future__ import annotations

import math
from dataclasses import replace

from pawl.compression.judging import Judge
from pawl.compression.limits import chosen
from pawl.compression.result import Measured
from pawl.compression.tree import Tree
from pawl.compression.work import Work
from pawl.data.types import Examples
from pawl.deployment import Latency, disturbed, latencies, memory


def measure(
    tree: Tree, work: Work, judge: Judge, rows: Examples, batch_rows: int
) -> tuple[Measured, str]:
    """Times all candidates once more, side by side, and puts it on record.

    Memory is measured where it is limited, of those that lose little enough.

    Returns:
        The original's costs, and what is to be said of the machine meanwhile.
    """
    own = {-1: tree.original.graph}
    own |= {at: t.candidate.graph for at, t in enumerate(tree.tried) if t.candidate}
    graphs, seconds = {str(at): graph for at, graph in own.items()}, work.timing_seconds()
    single = latencies(graphs, rows, seconds=seconds)
    several = latencies(graphs, rows, batch=batch_rows, seconds=seconds)
    limits = work.limits

    def costs(at: int, value: float, *, passed: bool) -> Measured:
        one, many, peak = single[str(at)], several[str(at)], None
        if passed and limits is not None and limits.options.most_memory is not None:
            peak = memory(own[at], rows, batch=limits.batch).peak
        return Measured(value, *_told(one), *_told(many), len(own[at]), peak, one.p95, many.p95)

    for at, tried in enumerate(tree.tried):
        if tried.candidate is not None:
            value = math.nan if tried.record.value is None else tried.record.value
            found = costs(at, value, passed=tried.passed)
            tree.tried[at] = replace(tried, record=replace(tried.record, measured=found))
    told = disturbed([*single.values()]) or disturbed([*several.values()])
    return costs(-1, judge.value, passed=True), told


def settle(tree: Tree, work: Work, original: Measured) -> None:
    """Decides by what was measured what is left, and puts on record which steps made it."""
    if work.limits is not None:
        places, costs, losses = [-1], [original], [0.0]
        for at, tried in enumerate(tree.tried):
            if tried.passed and tried.record.measured is not None:
                places.append(at)
                costs.append(tried.record.measured)
                losses.append(tried.record.loss_at_most or 0.0)
        tree.at = places[chosen(work.limits, costs, losses, places.index(tree.at))]
    line = set(tree.line(tree.at))
    for at, tried in enumerate(tree.tried):
        record = tried.record
        if record.accepted != (at in line):
            why = "another model is left" if record.accepted else "the limits decide"
            reason = f"{record.reason}; {why}"
            tree.tried[at] = replace(
                tried, record=replace(record, accepted=at in line, reason=reason)
            )


def front(
    tree: Tree, work: Work, judge: Judge, original: Measured, batch_rows: int
) -> tuple[str, ...]:
    """Returns which models that lose little enough no other is better than, and puts it on record.

    Point estimates of metric, latency (of as many rows as count) and size.
    """
    sign, single = judge.objective.sign, work.goals.batch != batch_rows

    def place(m: Measured) -> tuple[float, float, float]:
        return -sign * m.value, m.latency_ms if single else m.batch_latency_ms, m.size_bytes

    places = {-1: place(original)}
    for at, t in enumerate(tree.tried):
        if t.passed and t.record.measured is not None:
            places[at] = place(t.record.measured)
    best = {
        at
        for at, mine in places.items()
        if not any(_dominates(other, mine) for other in places.values())
    }
    names = ["original"] if -1 in best else []
    for at, t in enumerate(tree.tried):
        tree.tried[at] = replace(t, record=replace(t.record, on_front=at in best))
        names += [f"{t.record.step}: {t.record.detail}"] if at in best else []
    return tuple(names)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _told(latency: Latency) -> tuple[float, tuple[float, float]]:
    return latency.median, latency.interval
