"""What a model costs to run: latency in ONNX Runtime, size, number of weights."""

from __future__ import annotations

from dataclasses import dataclass

from pawl.data.types import Examples
from pawl.deployment.timing import latencies

BATCH_ROWS = 64
_ROUNDS = 25


@dataclass(frozen=True)
class Cost:
    """Median latencies in milliseconds (ONNX Runtime, CPU, one thread), bytes of the graph."""

    latency_ms: float
    batch_latency_ms: float
    size_bytes: int


def measure(graphs: dict[str, bytes], rows: Examples) -> dict[str, Cost]:
    """Times several graphs on the same rows, in turn, so that a drifting machine hits all alike.

    Args:
        graphs: ONNX graphs by name.
        rows: Raw rows; the first is used for single-row latency, up to 64 for a batch.
    """
    single = latencies(graphs, rows, rounds=_ROUNDS)
    several = latencies(graphs, rows, batch=min(BATCH_ROWS, len(rows)), rounds=_ROUNDS)
    return {
        name: Cost(single[name].median, several[name].median, len(graph))
        for name, graph in graphs.items()
    }
