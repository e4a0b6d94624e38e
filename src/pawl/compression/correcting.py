"""Integers of 8 bits by NNCF, which corrects what rounding does: biases, and outliers by SmoothQuant.

Sources: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019;
Xiao et al., SmoothQuant, 2023; https://github.com/openvinotoolkit/nncf.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Collection
from typing import Any

import onnx

from pawl.compression.graphs import quietly
from pawl.data.types import Examples

CORRECTED, SMOOTHED = "NNCF bias correction", "NNCF SmoothQuant"
_CHUNK = 64
_NORMED = ("LayerNormalization", "SimplifiedLayerNormalization")


def corrections(model: onnx.ModelProto) -> tuple[str, ...]:
    """Returns the ways of NNCF that suit a graph; none where it is not installed (it is an extra).

    SmoothQuant moves what activations have of outliers to the weights behind normalizations, so it is
    for graphs that have such.
    """
    if importlib.util.find_spec("nncf") is None:
        return ()
    normed = any(node.op_type in _NORMED for node in model.graph.node)
    return (CORRECTED, SMOOTHED) if normed else (CORRECTED,)


def corrected(
    model: onnx.ModelProto,
    rows: Examples,
    excluded: Collection[str],
    *,
    smooth: bool = False,
    seven_bits: bool = False,
) -> bytes:
    """Returns a graph of integers whose biases make up for the mean error of the rounding.

    Args:
        model: A graph of floats.
        rows: Those whose ranges and means count.
        excluded: Names of nodes that stay as they are.
        smooth: Whether outliers are moved to weights first.
        seven_bits: Whether weights have 7 bits, for processors that add products of 8 up in 16.

    Raises:
        Exception: Whatever NNCF raises where it cannot.
    """
    names = [item.name for item in model.graph.input]
    starts = range(0, len(rows), _CHUNK)
    calls = [{n: rows.inputs[n][at : at + _CHUNK].numpy() for n in names} for at in starts]
    given = onnx.ModelProto()
    given.CopyFrom(model)
    with quietly():
        nncf = _library()
        settings = nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix.ENABLE if seven_bits else nncf.OverflowFix.DISABLE,
            activations_range_estimator_params=_widest(),
        )
        made = nncf.quantize(
            given, nncf.Dataset(calls), subset_size=len(calls), fast_bias_correction=False,
            model_type=nncf.ModelType.TRANSFORMER if smooth else None,
            ignored_scope=nncf.IgnoredScope(names=list(excluded), validate=False),
            advanced_parameters=settings,
        )  # fmt: skip
    return bytes(made.SerializeToString())


def _widest() -> Any:
    """Returns what takes ranges over all calls; by default they are means, which cut off rare values."""
    from nncf.quantization import range_estimator  # noqa: PLC0415  (an extra)

    return range_estimator.RangeEstimatorParametersSet.MINMAX


def _library() -> Any:
    """Returns the library, told to send nothing to anyone of what it is used for."""
    os.environ.setdefault("NNCF_CI", "1")
    import nncf  # noqa: PLC0415  (an extra)

    nncf.set_log_level(logging.ERROR)
    return nncf
