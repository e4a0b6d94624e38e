"""What a model costs to run: latency in ONNX Runtime, size, number of weights."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch

from pawl.data.types import Examples
from pawl.deployment.export import session
from pawl.models import OUTPUT

BATCH_ROWS = 64
_REPEATS = 25
_WARM = 5


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
    sessions = {name: session(graph, threads=1) for name, graph in graphs.items()}
    times: dict[tuple[str, int], list[float]] = {}
    for size in (1, min(BATCH_ROWS, len(rows))):
        chosen = rows.take(torch.arange(size))
        feed = {name: tensor.numpy() for name, tensor in chosen.inputs.items()}
        for repeat in range(_WARM + _REPEATS):
            for name, running in sessions.items():
                wanted = {item.name: feed[item.name] for item in running.get_inputs()}
                started = time.perf_counter()
                running.run([OUTPUT], wanted)
                if repeat >= _WARM:
                    spent = 1e3 * (time.perf_counter() - started)
                    times.setdefault((name, size), []).append(spent)
    batch = min(BATCH_ROWS, len(rows))
    return {
        name: Cost(
            statistics.median(times[name, 1]), statistics.median(times[name, batch]), len(graph)
        )
        for name, graph in graphs.items()
    }
