"""ONNX graphs from raw inputs to predictions: run, and checked against what they were exported from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime
import torch

from pawl.data.types import Examples
from pawl.deployment.disagreeing import cause
from pawl.errors import BundleError, first_line
from pawl.models import OUTPUT
from pawl.training.trained import Predictor

_PARITY_ROWS, _ROWS_ALONE = 256, 8
_VALUES = 1 << 22
_RELATIVE_TOLERANCE = 1e-3
_LEVELS = {
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
}


def session(
    graph: bytes, *, threads: int = 1, level: str = "all", mode: str = "sequential"
) -> onnxruntime.InferenceSession:
    """Returns an ONNX Runtime session on the CPU.

    Its threads sleep while they wait: by default they would spin, also between calls, and take the
    cores from whatever computes next.

    Args:
        graph: The graph.
        threads: Of an operation.
        level: How far the graph is optimized: `all`, `extended` or `basic`.
        mode: Whether operations run in `parallel`, or `sequential`.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.graph_optimization_level = _LEVELS[level]
    if mode == "parallel":
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
        options.inter_op_num_threads = threads
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def check_graph(graph: bytes, inputs: Sequence[str]) -> None:
    """Checks a graph from a file before it is loaded.

    Args:
        graph: The file's bytes.
        inputs: Names of the inputs that it may take.

    Raises:
        BundleError: It takes other inputs, gives another output, or has data in other files, which
            ONNX Runtime would look for in the working directory. The message has no subject.
        Exception: It is no graph.
    """
    model = onnx.load_from_string(graph)
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            where = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
            raise BundleError(
                f"has the values of {tensor.name!r} in another file, {where!r}; allowed are graphs "
                "that hold their own"
            )
    held = {tensor.name for tensor in model.graph.initializer}
    got = [item.name for item in model.graph.input if item.name not in held]
    given = [item.name for item in model.graph.output]
    if OUTPUT not in given or not set(got) <= set(inputs):
        raise BundleError(
            f"takes {', '.join(got) or 'nothing'} and gives {', '.join(given) or 'nothing'}; allowed "
            f"are graphs that take {', '.join(inputs)} and give {OUTPUT}"
        )


def _tensors(message: Any) -> Iterator[Any]:
    """Yields every tensor of a graph, also those inside nodes, functions and graphs within it."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for each in [value] if hasattr(value, "ListFields") else value:
            if isinstance(each, onnx.TensorProto):
                yield each
            else:
                yield from _tensors(each)


class Running(Protocol):
    """What runs a graph: an ONNX Runtime session, or what has its face."""

    def get_inputs(self) -> Any:
        """Returns the graph's inputs, each with its `name`."""

    def run(self, outputs: Any, feed: Any) -> Any:
        """Returns the outputs of these names."""


def run(running: Running, examples: Examples, *, chunk: int | None = None) -> np.ndarray:
    """Returns a session's predictions for all rows, `[R, C]` or `[R]`, some thousand at a time."""
    chunk = chunk or max(64, min(4096, _VALUES // examples.width))
    wanted = [item.name for item in running.get_inputs()]
    parts = []
    for start in range(0, len(examples), chunk):
        feed = {name: examples.inputs[name][start : start + chunk].numpy() for name in wanted}
        parts.append(running.run([OUTPUT], feed)[0])
    return np.concatenate(parts)


def check_parity(predictor: Predictor, graph: bytes, rows: Examples) -> float:
    """Runs rows through what was exported, on the CPU, and through ONNX Runtime: together, some alone.

    Returns:
        The largest difference, relative to the largest prediction (at least 1).

    Raises:
        BundleError: They differ by more than 0.1%.
    """
    rows = rows.take(torch.arange(min(len(rows), _PARITY_ROWS)))
    onnx.checker.check_model(onnx.load_from_string(graph))

    def module(some: Examples) -> np.ndarray:
        return np.asarray(predictor.predict(some, torch.device("cpu")).numpy())

    expected = module(rows)
    try:
        running = session(graph)
        got = run(running, rows)
        some = rows.take(torch.arange(min(len(rows), _ROWS_ALONE)))
        alone = run(running, some, chunk=1)
    except Exception as error:  # ONNX Runtime has exceptions of its own, without a common base
        raise BundleError(
            f"the exported model cannot be run by ONNX Runtime ({first_line(error)}); use other "
            "operations or float32 in its forward"
        ) from error
    if got.shape != expected.shape or alone.shape != expected[: len(some)].shape:
        raise BundleError(
            f"the exported model returns shape {list(got.shape)} for {len(rows)} rows and "
            f"{list(alone.shape)} for {len(some)} one by one; {list(expected.shape)} is expected: its "
            "forward must treat one row as it treats several (squeeze() needs the axis that it takes)"
        )
    scale = max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(got - expected).max()) / scale
    difference = max(difference, float(np.abs(alone - expected[: len(alone)]).max()) / scale)
    if not difference <= _RELATIVE_TOLERANCE:
        why = cause(module, rows, _ROWS_ALONE, _RELATIVE_TOLERANCE)
        raise BundleError(
            f"ONNX Runtime and PyTorch differ by {difference:.2g} on {len(rows)} rows (at most "
            f"{_RELATIVE_TOLERANCE:g} is allowed), so the bundle is not written: {why}"
        )
    return difference


def predict(graph: bytes, examples: Examples) -> np.ndarray:
    """Returns a graph's predictions for all rows, `[R, C]` or `[R]`."""
    return run(session(graph), examples)
