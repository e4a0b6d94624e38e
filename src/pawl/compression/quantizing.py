"""Whole numbers of 8 bits in place of floating-point ones, by ONNX Runtime's quantizers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from pawl.compression.candidate import Candidate
from pawl.compression.correcting import CORRECTED, SMOOTHED, corrected, corrections
from pawl.compression.graphs import (
    CONVERSIONS,
    INTEGER_OPERATORS,
    has_integers,
    operators,
    optimized,
    quietly,
)
from pawl.compression.work import Work, undominated
from pawl.data.types import Examples
from pawl.deployment.export import predict
from pawl.errors import first_line

STEP = "int8"
_CALIBRATION_ROWS, _CHUNK = 256, 64
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_BETWEEN = (
    "Relu",
    "Reshape",
    "Flatten",
    "Transpose",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
)
"""What stays among whole numbers where its neighbors do, so that fewer conversions are left."""
_METHODS = {
    "min-max": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
_MEMBER = re.compile(r"^m\d+_")
_MOST_KINDS = 16
_VNNI = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp")


@dataclass(frozen=True)
class Try:
    """One way of quantizing.

    Attributes:
        method: Of calibration; `None` where ranges are found anew in each call.
        excluded: Kinds of layers that stay as they are.
    """

    method: str | None
    excluded: tuple[str, ...] = ()

    @property
    def detail(self) -> str:
        """In a few words."""
        how = "dynamic" if self.method is None else f"static, {self.method}"
        left = f", without {len(self.excluded)} kind(s) of layers" if self.excluded else ""
        return how + left


STATIC = tuple(Try(method) for method in _METHODS)


def quantized(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes quantized graphs that seem good enough, none of which costs and loses more than another.

    Layers (convolutions, matrix products) whose weights are constants are quantized, each channel on its
    own: statically, with the ranges of rows to learn from by three methods, and dynamically, matrix
    products alone. If none of the static ones seems good enough on the rows for choices, NNCF is asked
    (where it is installed), which corrects biases and outliers; if that does not do, the kinds of layers
    that matter most alone are left out, as few as do. Trees compare numbers, and stay.

    Args:
        work: Rows and measures.
        current: What it starts from.

    Returns:
        Candidates, from the one that loses least to the cheapest; or why there are none.
    """
    quantizing = Quantizing.of(work, current)
    if isinstance(quantizing, str):
        return quantizing
    static, dynamic = quantizing.static(), quantizing.judged(Try(None))
    found = [*static, *([] if dynamic is None else [dynamic])]
    if not any(one.passed for one in static):
        better = quantizing.corrected()
        found += better if any(one.passed for one in better) else quantizing.mixed(static)
    good = [one for one in found if one.passed]
    if not good:
        return quantizing.refusal(found)
    costs = work.parts_of_costs({str(at): one.candidate.graph for at, one in enumerate(good)})
    return [good[at].candidate for at in undominated(costs, [one.loss for one in good])]


@dataclass(frozen=True, eq=False)
class Quantized:
    """A quantized graph, and what it loses on the rows for choices."""

    how: Try
    candidate: Candidate
    loss: float
    passed: bool


class Quantizing:
    """Quantizes one graph in several ways, each once, and judges each on the rows for choices.

    Attributes:
        prepared: The graph as quantizers want it.
        failed: What could not be done, and why.
    """

    def __init__(
        self,
        work: Work,
        current: Candidate,
        prepared: onnx.ModelProto,
        layers: dict[str, list[str]],
    ) -> None:
        self._work, self._current, self._layers = work, current, layers
        self._sample = work.sample(_CALIBRATION_ROWS)
        may = {name for names in layers.values() for name in names}
        nodes = prepared.graph.node
        self._never = [n.name for n in nodes if n.op_type in _LAYERS and n.name not in may]
        self._known: dict[Try, Quantized | None] = {}
        self.prepared = prepared
        self.failed: list[str] = []

    @classmethod
    def of(cls, work: Work, current: Candidate) -> Quantizing | str:
        """Returns what quantizes a graph, for all steps that start there; or why nothing can be."""
        known = work.known.get(cls)
        if known is not None and known._current is current:
            return cast(Quantizing, known)
        prepared = optimized(current.graph)
        layers = _layers(prepared)
        if has_integers(prepared):
            return "the graph computes with integers already"
        if not layers:
            trees = sum(node.op_type == "TreeEnsembleRegressor" for node in prepared.graph.node)
            has = f": it has {trees} model(s) of trees, which compare numbers" if trees else ""
            return f"the graph has no layer that integers could compute{has}"
        work.known[cls] = found = cls(work, current, prepared, layers)
        return found

    def static(self) -> list[Quantized]:
        """Returns what each way of calibrating makes of all layers."""
        return [found for how in STATIC if (found := self.judged(how))]

    def corrected(self) -> list[Quantized]:
        """Returns what NNCF makes of all layers, where it is installed."""
        ways = corrections(self.prepared)
        return [found for way in ways if (found := self.judged(Try(way)))]

    def judged(self, how: Try) -> Quantized | None:
        """Quantizes and judges; `None` if it cannot be done, or nothing of it computes with integers."""
        if how not in self._known:
            self._known[how] = self._judged(how)
        return self._known[how]

    def _judged(self, how: Try) -> Quantized | None:
        try:
            graph = self._made(how, [n for k in how.excluded for n in self._layers[k]])
            ran = operators(graph)
            predicted = predict(graph, self._work.choices)
        except Exception as error:  # the quantizers and ONNX Runtime have exceptions of their own
            self.failed.append(f"{how.detail}: {first_line(error)}")
            return None
        facts = integers_in(ran)
        if not facts["integer_nodes"]:
            self.failed.append(f"{how.detail}: ONNX Runtime computes all of it with floats")
            return None
        facts["excluded"] = list(how.excluded)
        trees, floats = ran["TreeEnsembleRegressor"], facts["float_layers"]
        stay = f"; {floats} layer(s) compute with floats" if floats else ""
        stay += f"; {trees} model(s) of trees stay" if trees else ""
        candidate = replace(
            self._current, step=STEP, detail=how.detail + stay, graph=graph, facts=facts, is_exact=False,
            is_lossless=False,
        )  # fmt: skip
        result = self._work.judge(predicted)
        return Quantized(how, candidate, result.loss, result.passed)

    def mixed(self, static: Sequence[Quantized]) -> list[Quantized]:
        """Leaves out the most sensitive kinds of layers, as few as seem good enough."""
        if not static:
            return []
        method = min(static, key=lambda one: one.loss).how.method
        order = self._sensitive(method)
        low, high, best = 1, len(order) - 1, None
        while low <= high:
            middle = (low + high) // 2
            found = self.judged(Try(method, tuple(order[:middle])))
            if found is not None and found.passed:
                best, high = found, middle - 1
            else:
                low = middle + 1
        return [] if best is None else [best]

    def _sensitive(self, method: str | None) -> list[str]:
        """Returns kinds of layers, first the one that alone changes predictions most.

        The measure is the mean squared difference of predictions of the calibration rows.
        """
        expected = predict(self.prepared.SerializeToString(), self._sample)
        moved = {}
        for kind in list(self._layers)[:_MOST_KINDS]:
            others = [n for k, names in self._layers.items() if k != kind for n in names]
            got = predict(self._made(Try(method), others), self._sample)
            moved[kind] = float(np.mean((got - expected) ** 2))
        return sorted(moved, key=lambda kind: -moved[kind])

    def _made(self, how: Try, excluded: Collection[str]) -> bytes:
        left_out = [*excluded, *self._never]
        if how.method in (CORRECTED, SMOOTHED):
            smooth, narrow = how.method == SMOOTHED, not has_vnni()
            return corrected(
                self.prepared, self._sample, left_out, smooth=smooth, seven_bits=narrow
            )
        common: dict[str, Any] = {
            "weight_type": QuantType.QInt8, "per_channel": True, "nodes_to_exclude": left_out,
            "reduce_range": not has_vnni(),
        }  # fmt: skip
        with quietly() as folder:
            source, target = folder / "float.onnx", folder / "quantized.onnx"
            onnx.save(self.prepared, source)
            if how.method is None:
                quantize_dynamic(source, target, op_types_to_quantize=["Gemm", "MatMul"], **common)
            else:
                names = [item.name for item in self.prepared.graph.input]
                quantize_static(
                    source, target, _Reader(self._sample, names), quant_format=QuantFormat.QDQ,
                    activation_type=QuantType.QUInt8, calibrate_method=_METHODS[how.method],
                    op_types_to_quantize=[*_LAYERS, *_BETWEEN],
                    extra_options={"QDQOpTypePerChannelSupportToAxis": {"MatMul": 1}}, **common,
                )  # fmt: skip
            return target.read_bytes()

    def refusal(self, found: Sequence[Quantized]) -> str:
        """Says why nothing is proposed."""
        if found:
            least = min(found, key=lambda one: one.loss)
            return (
                f"on the rows for choices the best one ({least.how.detail}) loses too much: "
                f"{least.loss:.3g}, where {self._work.judge.margin:.3g} is allowed"
            )
        return f"ONNX Runtime could not quantize it ({self.failed[0]})"


def integers_in(ran: Counter[str]) -> dict[str, Any]:
    """Returns how many nodes compute with integers, and how many convert to and from them."""
    return {
        "integer_nodes": sum(ran[name] for name in INTEGER_OPERATORS),
        "conversions": sum(ran[name] for name in CONVERSIONS),
        "float_layers": sum(
            count for name, count in ran.items() if name.removeprefix("Fused") in _LAYERS
        ),
    }


def has_vnni(read: Callable[[], str] | None = None) -> bool:
    """Tells whether the processor adds up products of 8 bits in 32.

    Without, sums of two products are cut off at 16 bits, and weights must be of 7 bits.
    """
    try:
        flags = (read or Path("/proc/cpuinfo").read_text)()
    except OSError:
        return False
    return any(flag in flags.split() for flag in _VNNI)


def _layers(model: onnx.ModelProto) -> dict[str, list[str]]:
    """Returns the names of layers that may be quantized, by what they are in each member.

    Products of stacks of matrices may not: ONNX Runtime has none with a scale for each channel.
    """
    constants = {
        each.name: len(each.dims) for each in model.graph.initializer if len(each.dims) >= 2
    }
    kinds: dict[str, list[str]] = {}
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"unnamed_{number}"
        if node.op_type not in _LAYERS:
            continue
        axes = constants.get(node.input[1], 0)
        if axes == 2 or (axes > 2 and node.op_type != "MatMul"):
            kinds.setdefault(_MEMBER.sub("", node.name), []).append(node.name)
    return kinds


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # without types
    """Gives rows to a calibrator, a few at a time."""

    def __init__(self, rows: Examples, names: Sequence[str]) -> None:
        self._chunks = iter(
            [
                {name: rows.inputs[name][start : start + _CHUNK].numpy() for name in names}
                for start in range(0, len(rows), _CHUNK)
            ]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Returns the next rows, or nothing."""
        return next(self._chunks, None)
