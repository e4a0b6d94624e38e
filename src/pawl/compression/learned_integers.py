"""Quantization in training: weights that are trained while the graph rounds as it will round.

Where the quantizer's graph loses too much as it is, its own weights are trained on: the graph that is
trained is the one that ONNX Runtime will run, with its scales and its conversions at its places, so
that what was learned is what runs (Jacob et al., Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference, CVPR 2018).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from pawl.compression.candidate import Candidate
from pawl.compression.graphs import operators
from pawl.compression.operations import attributes, rounded
from pawl.compression.quantizing import Quantizing, has_vnni, integers_in
from pawl.compression.trainable import Leaf, Trainable, arrays, trained
from pawl.compression.work import Work
from pawl.deployment.export import predict
from pawl.deployment.records import apart

STEP = "int8 training"
_RATE = 0.05
"""In steps of the rounding, so that all layers move alike."""
_SAME = 0.05
"""How far what runs may be from what was trained, relative to the largest prediction: a difference in
the last place may tip the rounding of whole numbers."""
_WHOLE, _SEVEN_BITS = 127, 64


def integers_learned(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes a graph of integers whose weights learned what its rounding does.

    Only where no static quantization seems good enough on the rows for choices: the best of them is
    trained on what the original predicts. Ranges of activations and scales of weights stay those of the
    quantizer; weights and biases move, and gradients pass through the rounding.

    Args:
        work: Rows and measures.
        current: What it starts from.

    Returns:
        One candidate, or why there is none.
    """
    quantizing = Quantizing.of(work, current)
    if isinstance(quantizing, str):
        return quantizing
    tried = quantizing.static()
    if not tried:
        return quantizing.refusal(tried)
    if any(one.passed for one in tried) or any(one.passed for one in quantizing.corrected()):
        return "integers seem good enough without training"
    best = min(tried, key=lambda one: one.loss)
    held = quantizing.prepared.graph.initializer
    floats = {each.name: numpy_helper.to_array(each) for each in held}
    graph, facts = learned(work, best.candidate.graph, floats)
    judged = work.judge(predict(graph, work.choices))
    if facts["apart"] > _SAME:
        return f"what runs is not what was trained (apart by {facts['apart']:.2g})"
    if not judged.passed:
        return (
            f"on the rows for choices it loses {judged.loss:.3g} with training ({best.loss:.3g} "
            f"without), at most {judged.at_most:.3g}, where {judged.allowed:.3g} is allowed"
        )
    facts |= integers_in(operators(graph)) | {"without_training": best.loss}
    detail = f"{best.how.detail}, trained as it rounds"
    return [replace(best.candidate, step=STEP, detail=detail, graph=graph, facts=facts)]


def learned(
    work: Work, graph: bytes, floats: dict[str, np.ndarray], steps: int | None = None
) -> tuple[bytes, dict[str, Any]]:
    """Trains the weights of a graph with integers.

    Args:
        work: Rows, and what is to be predicted of them.
        graph: With weights as integers that are multiplied by scales (`DequantizeLinear`).
        floats: The weights before, by name.
        steps: Of training.

    Returns:
        The graph with other integers, the steps taken, and how far what ONNX Runtime predicts is from
        what was trained (`apart`).

    Raises:
        BundleError: It cannot be trained.
    """
    model = onnx.load_from_string(graph)
    held = {each.name: each for each in model.graph.initializer}
    weights = {
        node.output[0]: _Weight(node, held)
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in held
    }
    module = Trainable(model, {name: each.leaf(floats) for name, each in weights.items()})
    taken = trained(work, module, _RATE, steps)
    for name, value in module.values().items():
        weights[name].write(value)
    made = bytes(model.SerializeToString())
    with torch.no_grad():
        expected = module(arrays(work.choices)).numpy()
    return made, {"steps": taken, "apart": apart(predict(made, work.choices), expected)}


class _Weight:
    """A constant of whole numbers, and what it is multiplied by."""

    def __init__(self, node: onnx.NodeProto, held: dict[str, onnx.TensorProto]) -> None:
        self._constant = held[node.input[0]]
        self._whole = numpy_helper.to_array(self._constant)
        scale = torch.from_numpy(numpy_helper.to_array(held[node.input[1]]).copy())
        if scale.numel() > 1:
            shape = [1] * self._whole.ndim
            shape[int(attributes(node).get("axis", 1))] = -1
            scale = scale.reshape(shape)
        self._scale = scale
        limits = np.iinfo(self._whole.dtype)
        most = _WHOLE if has_vnni() else _SEVEN_BITS
        self._most = float(most if limits.bits == 8 else limits.max)
        # What a weight is trained in units of; biases have 32 bits, whose steps are too small for that.
        own = float((torch.from_numpy(self._whole.copy()).float() * scale).abs().max())
        self._unit = scale if limits.bits == 8 else torch.tensor(own / _SEVEN_BITS or 1.0)

    def leaf(self, floats: dict[str, np.ndarray]) -> Leaf:
        """Returns the weight before it was rounded, and how the graph sees it."""
        before = floats.get(self._constant.name.removesuffix("_quantized"))
        start = torch.from_numpy(self._whole.copy()).float() * self._scale
        if before is not None and before.shape == self._whole.shape:
            start = torch.from_numpy(before.copy())
        return Leaf(start / self._unit, lambda value: self._steps(value) * self._scale)

    def _steps(self, value: Tensor) -> Tensor:
        return rounded(value * self._unit / self._scale).clamp(-self._most, self._most)

    def write(self, value: Tensor) -> None:
        """Puts a weight's whole numbers in the graph."""
        whole = self._steps(value).numpy().astype(self._whole.dtype)
        self._constant.CopyFrom(numpy_helper.from_array(whole, self._constant.name))
