"""Steps on a graph alone: what the exporter left is cleaned up, numbers are kept in 16 bits."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from pawl.compression.candidate import Candidate
from pawl.compression.work import Work
from pawl.errors import BundleError, first_line

WEIGHTS = "int8 weights"
_MOST_INT8 = 127
_WARNING, _FATAL = 2, 4
"""Of ONNX Runtime's messages; the first is its default."""
_LEAST_ELEMENTS = 32
"""Shorter constants save nothing that matters."""
INTEGER_OPERATORS = frozenset(
    {
        "ConvInteger", "DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat", "QGemm",
        "QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearConv", "QLinearGlobalAveragePool",
        "QLinearMatMul", "QLinearMul", "QLinearConvTranspose",
    }
)  # fmt: skip
"""Operators of ONNX Runtime that compute with integers."""
CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})


def has_integers(model: onnx.ModelProto) -> bool:
    """Tells whether a graph computes with integers, or converts to them and from them."""
    return any(node.op_type in CONVERSIONS | INTEGER_OPERATORS for node in model.graph.node)


@contextlib.contextmanager
def quietly() -> Iterator[Path]:
    """Gives a folder for a while, and keeps what ONNX's tools print and warn of to itself."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    onnxruntime.set_default_logger_severity(_FATAL)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield Path(folder)
    finally:
        logging.disable(before)
        onnxruntime.set_default_logger_severity(_WARNING)


def operators(graph: bytes) -> Counter[str]:
    """Returns the operators that ONNX Runtime really runs on this machine, after all its rewriting."""
    with quietly() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(folder / "optimized.onnx")
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


def optimized(graph: bytes) -> onnx.ModelProto:
    """Returns a graph with its constants folded and layers fused, of standard operators alone.

    Raises:
        BundleError: ONNX Runtime cannot write it.
    """
    with quietly() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folder / "optimized.onnx")
        try:
            onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            model = onnx.load(folder / "optimized.onnx")
        except Exception as error:  # ONNX Runtime has exceptions of its own, without a common base
            raise BundleError(
                f"ONNX Runtime cannot write the graph as it runs it ({first_line(error)})"
            ) from error
    used = {node.domain for node in model.graph.node}
    kept = [each for each in model.opset_import if each.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model


def clean(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes the same graph without the exporter's notes, its constants folded and layers fused."""
    del work
    model = optimized(current.graph)
    del model.graph.value_info[:], model.metadata_props[:]
    for node in model.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    detail = "the exporter's notes left out, constants folded"
    graph = model.SerializeToString()
    return [replace(current, step="graph", detail=detail, graph=graph, facts={}, is_lossless=True)]


def half(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes constants in 16 bits, which are as wide again as they were when the graph is loaded.

    So the file gets smaller, and computing stays what it was.
    """
    del work

    def shortened(values: np.ndarray) -> list[np.ndarray] | None:
        if not bool((np.abs(values) < np.finfo(np.float16).max).all()):
            return None
        return [values.astype(np.float16)]

    made, count = _rewritten(current.graph, shortened)
    if not count:
        return "the graph has no constants of 32 or 64 bits to shorten"
    facts = {"shortened": count}
    return [replace(
        current, step="float16", detail=f"{count:,} numbers kept in 16 bits", graph=made, facts=facts,
        is_lossless=False,
    )]  # fmt: skip


def bytes_for_weights(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes weights as integers of 8 bits, which are multiplied out when the graph is loaded.

    Matrices and kernels alone, with a scale for each unit. The file gets smaller, and computing stays
    what it was: in numbers as wide as before, on any processor.
    """
    del work
    made, count = in_bytes(current.graph)
    if not count:
        return "the graph has no matrices or kernels of 32 or 64 bits"
    facts = {"rounded": count}
    return [replace(
        current, step=WEIGHTS, detail=f"{count:,} weights kept in 8 bits", graph=made, facts=facts,
        is_exact=False, is_lossless=False,
    )]  # fmt: skip


def in_bytes(graph: bytes) -> tuple[bytes, int]:
    """Returns a graph with matrices and kernels in 8 bits, and how many numbers that are."""
    return _rewritten(graph, _in_bytes)


def _in_bytes(values: np.ndarray) -> list[np.ndarray] | None:
    if values.ndim < 2:
        return None
    axis = 0 if values.ndim > 2 else values.ndim - 1  # units: kernels' first axis, matrices' last
    others = tuple(at for at in range(values.ndim) if at != axis)
    most = np.abs(values).max(axis=others, keepdims=True)
    if 4 * most.size > values.size or not bool(np.isfinite(most).all()):
        return None  # scales of so few would take what the bytes save
    scale = np.where(most > 0, most / _MOST_INT8, 1.0).astype(values.dtype)
    return [np.rint(values / scale).astype(np.int8), scale]


def _rewritten(
    graph: bytes, shortened: Callable[[np.ndarray], list[np.ndarray] | None]
) -> tuple[bytes, int]:
    """Keeps constants otherwise; returns the graph, and how many numbers that are.

    Args:
        graph: As ONNX.
        shortened: Returns a constant's values as they are kept, and what they are multiplied by if that
            is needed; `None` for those that stay.
    """
    model = onnx.load_from_string(graph)
    nodes, kept, count = [], [], 0
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant) if _is_long(constant) else None
        parts = None if values is None else shortened(values)
        if values is None or parts is None:
            kept.append(constant)
            continue
        name = f"{constant.name}_half" if len(parts) == 1 else f"{constant.name}_bytes"
        whole = constant.name if len(parts) == 1 else f"{name}_whole"
        kept.append(numpy_helper.from_array(parts[0], name))
        nodes.append(helper.make_node("Cast", [name], [whole], to=constant.data_type))
        if len(parts) > 1:
            kept.append(numpy_helper.from_array(parts[1], f"{name}_scale"))
            nodes.append(helper.make_node("Mul", [whole, f"{name}_scale"], [constant.name]))
        count += values.size
    every = [*nodes, *model.graph.node]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(every)
    model.graph.initializer.extend(kept)
    return bytes(model.SerializeToString()), count


def _is_long(constant: TensorProto) -> bool:
    wide = constant.data_type in (TensorProto.FLOAT, TensorProto.DOUBLE)
    return wide and int(np.prod(constant.dims)) > _LEAST_ELEMENTS
