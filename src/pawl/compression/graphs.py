"""Steps on a graph alone: what the exporter left is cleaned up, numbers are kept in 16 bits."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from pawl.compression.candidate import Candidate
from pawl.compression.work import Work
from pawl.errors import BundleError, first_line

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


@contextlib.contextmanager
def quietly() -> Iterator[Path]:
    """Gives a folder for a while, and keeps what ONNX's tools print and warn of to itself."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
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
    """Proposes constants in 16 bits, which are numbers of 32 bits again when the graph is loaded.

    So the file gets smaller, and computing stays what it was.
    """
    del work
    model = onnx.load_from_string(current.graph)
    casts, kept, count = [], [], 0
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant) if _is_long(constant) else None
        if values is None or not bool((np.abs(values) < np.finfo(np.float16).max).all()):
            kept.append(constant)
            continue
        name = f"{constant.name}_half"
        kept.append(numpy_helper.from_array(values.astype(np.float16), name))
        casts.append(helper.make_node("Cast", [name], [constant.name], to=TensorProto.FLOAT))
        count += values.size
    if not casts:
        return "the graph has no constants of 32 bits to shorten"
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(kept)
    facts = {"shortened": count}
    return [replace(
        current, step="float16", detail=f"{count:,} numbers kept in 16 bits",
        graph=model.SerializeToString(), facts=facts, is_lossless=False,
    )]  # fmt: skip


def _is_long(constant: TensorProto) -> bool:
    return constant.data_type == TensorProto.FLOAT and int(np.prod(constant.dims)) > _LEAST_ELEMENTS
