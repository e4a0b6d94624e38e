"""What a bundle predicts with: ONNX Runtime as it is, or the runtime that was measured to be fastest."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pawl.cores import cores
from pawl.deployment.export import Running, session
from pawl.environment import cpu_features
from pawl.errors import BundleWarning


@dataclass(frozen=True)
class _Input:
    name: str


class OpenVino:
    """A graph that OpenVINO has compiled for the processor, with the face of a session.

    Args:
        graph: The ONNX graph.
        threads: Most threads.
    """

    def __init__(self, graph: bytes, threads: int) -> None:
        import openvino  # noqa: PLC0415  (an extra)

        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }  # fmt: skip
        self._compiled = core.compile_model(core.read_model(graph), "CPU", settings)
        self._names = [item.get_any_name() for item in self._compiled.inputs]

    def get_inputs(self) -> Sequence[_Input]:
        """Returns the graph's inputs."""
        return [_Input(name) for name in self._names]

    def run(self, outputs: Sequence[str], feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Returns the outputs of these names."""
        found = self._compiled(dict(feed))
        return [np.array(found[name]) for name in outputs]


def running_of(
    graph: bytes, runtime: Mapping[str, Any] | None, *, threads: int | None = None
) -> Running:
    """Returns what runs a graph.

    Args:
        graph: The bundle's.
        runtime: What was measured to be fastest (`pawl.compression.runtimes`), if anything was. It
            counts only where the processor has what the one had that it was measured on; a
            `BundleWarning` says where it does not.
        threads: How many it may use; by default as many as there are cores to use.
    """
    usable = threads or cores().usable
    used = (runtime or {}).get("used")
    if runtime is None or used is None:
        return _plain(graph, usable)
    lacking = sorted(set(runtime.get("cpu_features", ())) - set(cpu_features()))
    missing = used["family"] == "openvino" and importlib.util.find_spec("openvino") is None
    if lacking or missing:
        why = (
            "OpenVINO is not installed; pip install 'pawl[openvino]' brings it"
            if missing
            else f"this processor lacks {', '.join(lacking)}, which that one had"
        )
        warnings.warn(
            f"the bundle's runtime ({used['family']}) was chosen elsewhere and is not used here: {why}",
            BundleWarning,
            stacklevel=3,
        )
        return _plain(graph, usable)
    threads = threads or min(int(used["threads"]), usable)
    if used["family"] == "openvino":
        return OpenVino(graph, threads)
    chosen: Running = session(graph, threads=threads, level=used["level"], mode=used["mode"])
    return chosen


def _plain(graph: bytes, threads: int) -> Running:
    found: Running = session(graph, threads=threads)
    return found
