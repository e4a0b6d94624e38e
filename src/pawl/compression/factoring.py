"""Layers as two thin ones: low-rank factors of their weights, trained afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from pawl.compression.candidate import Candidate
from pawl.compression.graphs import has_integers, optimized
from pawl.compression.trainable import Leaf, Trainable, trained
from pawl.compression.work import Work
from pawl.deployment.export import predict

STEP = "low rank"
_ENERGIES = (0.95, 0.85, 0.7, 0.5)
_ROUND_TO = 8
_MOST_LEFT = 0.9
"""A layer stays as it is where its factors would have more than this share of its weights."""
_RATE = 1e-3


@dataclass(frozen=True, eq=False)
class _Layer:
    """A layer that may be factored: `W` as a matrix, and its singular values.

    Attributes:
        node: A product or a convolution.
        matrix: `[I, O]`, `I` with the kernel of a convolution.
        shape: Of its weight.
        parts: `U`, `s` and `V` of the matrix.
    """

    node: onnx.NodeProto
    matrix: np.ndarray
    shape: tuple[int, ...]
    parts: tuple[np.ndarray, np.ndarray, np.ndarray]

    def rank(self, energy: float) -> int | None:
        """Returns the least rank, in multiples of 8, that keeps this share of the energy.

        Energy is the sum of squared singular values, so the share of `||W||^2` that is kept (Eckart
        and Young, 1936). `None` if factors of that rank save nothing.
        """
        kept = np.cumsum(self.parts[1] ** 2)
        if not kept[-1] > 0:
            return None
        least = int(np.searchsorted(kept, energy * kept[-1])) + 1
        rank = -(-least // _ROUND_TO) * _ROUND_TO
        inputs, outputs = self.matrix.shape
        return rank if rank * (inputs + outputs) < _MOST_LEFT * inputs * outputs else None

    def factors(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns `[I, rank]` and `[rank, O]`, of the same norm."""
        u, s, v = self.parts
        root = np.sqrt(s[:rank])
        return (u[:, :rank] * root).astype(np.float32), (root[:, None] * v[:rank]).astype(
            np.float32
        )


def factored(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes graphs whose layers are products of thin ones, the smallest that seems good enough last.

    Of products and convolutions (of any kernel, in one group) with constant weights, taken as matrices.
    Each layer's rank is the least that keeps a share of its energy, in multiples of 8; what that would
    not make smaller stays. All are then trained on what the original predicts.

    Args:
        work: Rows and measures.
        current: What it starts from: any graph of floats.

    Returns:
        Candidates, or why there are none.
    """
    prepared = optimized(current.graph)
    if has_integers(prepared):
        return "the graph computes with integers already"
    layers = list(_layers(prepared))
    if not layers:
        return "the graph has no layer whose weights are a matrix of its own"
    found, seen, lost = list[Candidate](), set[tuple[int | None, ...]](), ""
    for energy in _ENERGIES:
        ranks = tuple(layer.rank(energy) for layer in layers)
        if not any(ranks) or ranks in seen:
            continue
        seen.add(ranks)
        candidate = _candidate(work, current, prepared, layers, ranks, energy)
        judged = work.judge(predict(candidate.graph, work.choices))
        if not judged.passed:
            lost = (
                f"on the rows for choices even {energy:.0%} of the layers' energy loses "
                f"{judged.loss:.3g}, at most {judged.at_most:.3g}, where {judged.allowed:.3g} is allowed"
            )
            break
        found.append(candidate)
    if not found:
        least = f"{min(_ENERGIES):.0%} of their energy"
        return lost or f"factors that keep {least} would be no smaller than the layers"
    return found


def _layers(model: onnx.ModelProto) -> Iterator[_Layer]:
    held = {each.name: each for each in model.graph.initializer}
    uses = Counter(name for node in model.graph.node for name in node.input)
    for node in model.graph.node:
        if node.op_type not in ("MatMul", "Gemm", "Conv") or node.input[1] not in held:
            continue
        given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        weight = numpy_helper.to_array(held[node.input[1]])
        several = node.op_type == "Conv" and given.get("group", 1) != 1
        if (
            uses[node.input[1]] > 1
            or several
            or given.get("transA", 0)
            or weight.dtype != np.float32
        ):
            continue
        if node.op_type != "Conv" and weight.ndim != 2:
            continue
        matrix = weight.reshape(len(weight), -1).T if node.op_type == "Conv" else weight
        matrix = matrix.T if given.get("transB", 0) else matrix
        if np.isfinite(matrix).all():
            yield _Layer(node, matrix, weight.shape, np.linalg.svd(matrix, full_matrices=False))


def _candidate(
    work: Work,
    current: Candidate,
    prepared: onnx.ModelProto,
    layers: list[_Layer],
    ranks: tuple[int | None, ...],
    energy: float,
) -> Candidate:
    """Factors a graph's layers, and trains them.

    Raises:
        BundleError: The graph cannot be trained.
    """
    model, leaves = _rewritten(prepared, layers, ranks)
    graph = Trainable(model, leaves)
    steps = trained(work, graph, _RATE)
    graph.write_to(model)
    count = sum(rank is not None for rank in ranks)
    facts = {
        "energy": energy, "steps": steps,
        "ranks": [[rank, min(layer.matrix.shape)] for layer, rank in zip(layers, ranks, strict=True)],
    }  # fmt: skip
    detail = f"{count} of {len(layers)} layers as two thin ones, {energy:.0%} of their energy"
    return replace(
        current, step=STEP, detail=detail, graph=bytes(model.SerializeToString()), facts=facts,
        is_exact=False, is_lossless=False,
    )  # fmt: skip


def _rewritten(
    prepared: onnx.ModelProto, layers: list[_Layer], ranks: tuple[int | None, ...]
) -> tuple[onnx.ModelProto, dict[str, Leaf]]:
    """Returns the graph with layers in two, and what of it is trained: all layers and their biases."""
    made = {
        layer.node.input[1]: _in_two(layer, rank)
        for layer, rank in zip(layers, ranks, strict=True)
        if rank is not None
    }
    model = onnx.ModelProto()
    model.CopyFrom(prepared)
    nodes, kept = list[onnx.NodeProto](), list[onnx.TensorProto]()
    trained_names = {name for layer in layers for name in layer.node.input[1:] if name}
    for node in prepared.graph.node:
        two = made.get(node.input[1]) if len(node.input) > 1 else None
        nodes += [node] if two is None else two[0]
    for each in prepared.graph.initializer:
        kept += made[each.name][1] if each.name in made else [each]
    trained_names |= {each.name for _, parts in made.values() for each in parts}
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(kept)
    leaves = {
        each.name: Leaf(torch.from_numpy(numpy_helper.to_array(each).copy()))
        for each in kept
        if each.name in trained_names
    }
    return model, leaves


def _in_two(layer: _Layer, rank: int) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Returns the nodes and the constants of a layer as two thin ones."""
    node, (first, second) = layer.node, layer.factors(rank)
    names = [f"{node.input[1]}_{part}" for part in ("down", "up")]
    between = f"{node.output[0]}_thin"
    one, two = onnx.NodeProto(), onnx.NodeProto()
    two.CopyFrom(node)
    two.input[0], two.input[1] = between, names[1]
    if node.op_type == "Conv":
        places = len(layer.shape) - 2
        first = first.T.reshape(rank, *layer.shape[1:])
        second = second.T.reshape(layer.shape[0], rank, *[1] * places)
        one.CopyFrom(node)
        del two.attribute[:], one.input[2:]
        one.output[0], one.input[1] = between, names[0]
    else:
        one = helper.make_node("MatMul", [node.input[0], names[0]], [between])
        for at in reversed(range(len(two.attribute))):
            if two.attribute[at].name == "transB":
                del two.attribute[at]
    one.name = f"{node.name or node.output[0]}_down"
    parts = [
        numpy_helper.from_array(np.ascontiguousarray(values), name)
        for values, name in zip((first, second), names, strict=True)
    ]
    return [one, two], parts
