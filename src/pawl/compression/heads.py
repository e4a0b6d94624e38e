"""Whole heads of attention taken out, those that move predictions least first."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper

from pawl.compression.attending import Attending
from pawl.compression.candidate import Candidate
from pawl.compression.cutting import Attention
from pawl.compression.graphs import has_integers, optimized
from pawl.compression.trainable import Leaf, Trainable, trained
from pawl.compression.work import Work
from pawl.deployment.export import predict

STEP = "heads"
Head = tuple[Attention, int]
"""An attention, and which of its heads."""
_SHARES = (0.25, 0.5, 0.75)
"""Of all heads, those that go; an attention keeps one."""
_SEEN = 512
"""Rows by which it is measured what heads matter."""
_RATE = 1e-3
_TIME_SHARE = 0.1
"""Of the seconds left, where these are limited, those that measuring heads may take."""


def fewer_heads(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes graphs whose attention has fewer heads, the fewest that seem good enough last.

    Each head is set to zero alone, and what the graph predicts then is held to what it predicted
    (Michel, Levy and Neubig, Are sixteen heads really better than one?, NeurIPS 2019): those that move
    predictions least go first, over all attentions, of which each keeps one. Their columns of the
    projections of queries, keys and values go with them, and their rows of the output projection
    (`attending`). What is left is trained on what the original predicts.

    Args:
        work: Rows and measures.
        current: What it starts from: any graph of floats.

    Returns:
        Candidates, or why there are none.
    """
    model = optimized(current.graph)
    if has_integers(model):
        return "the graph computes with integers already"
    found = Attending(model, work.choices)
    if not found.found:
        why = f" ({found.reasons[0]})" if found.reasons else ""
        return f"the graph has no attention whose heads can go{why}"
    order = _order(work, found)
    if not order:
        return "there is too little time left to measure its heads"
    made, seen, lost = list[Candidate](), set[int](), ""
    for share in _SHARES:
        gone = _gone(found, order, round(share * len(order)))
        if not gone or len(gone) in seen:
            continue
        seen.add(len(gone))
        candidate = _candidate(work, current, found, gone, len(order))
        judged = work.judge(predict(candidate.graph, work.choices))
        if not work.is_hopeful(judged):
            lost = (
                f"on the rows for choices {len(gone)} of {len(order)} heads less lose "
                f"{judged.loss:.3g}, at most {judged.at_most:.3g}, where {judged.allowed:.3g} is allowed"
            )
            break
        made.append(candidate)
    return made or lost or "each attention has one head"


def _order(work: Work, found: Attending) -> list[Head]:
    """Returns all heads, by their attention, those that move predictions least first.

    Without any where that would take too long.
    """
    rows = work.choices.take(torch.arange(min(_SEEN, len(work.choices))))
    began, left = time.monotonic(), work.left()
    whole = predict(found.masked({}), rows)
    taken = (time.monotonic() - began) * sum(each.heads for each in found.found)
    if left is not None and taken > _TIME_SHARE * left:
        return []
    moved = dict[Head, float]()
    for each in found.found:
        for head in range(each.heads):
            others = [other for other in range(each.heads) if other != head]
            said = predict(found.masked({each: others}), rows)
            moved[each, head] = float(np.square(said - whole).mean())
    return sorted(moved, key=lambda head: moved[head])


def _gone(found: Attending, order: list[Head], count: int) -> list[Head]:
    """Returns the first heads of an order, so many at most, with one left of each attention."""
    left, gone = {each: each.heads for each in found.found}, list[Head]()
    for attention, head in order:
        if len(gone) < count and left[attention] > 1:
            left[attention] -= 1
            gone.append((attention, head))
    return gone


def _candidate(
    work: Work, current: Candidate, found: Attending, gone: list[Head], every: int
) -> Candidate:
    """Takes heads out of a graph, and trains what is left.

    Raises:
        BundleError: The graph cannot be cut so, or trained.
    """
    kept = {
        each: [head for head in range(each.heads) if (each, head) not in gone]
        for each in found.found
    }
    model = optimized(bytes(found.without(kept).SerializeToString()))
    graph = Trainable(model, _leaves(model))
    steps = trained(work, graph, _RATE)
    graph.write_to(model)
    facts = {
        "heads": {each.name: len(heads) for each, heads in kept.items()},
        "kept": {each.name: heads for each, heads in kept.items()},
        "steps": steps,
    }
    return replace(
        current, step=STEP, detail=f"{every - len(gone)} of {every} heads of attention left",
        graph=bytes(model.SerializeToString()), facts=facts, is_exact=False, is_lossless=False,
    )  # fmt: skip


def _leaves(model: onnx.ModelProto) -> dict[str, Leaf]:
    """Returns what is trained: weights and biases of layers and of normalizations."""
    layers = ("Conv", "Gemm", "LayerNormalization", "MatMul")
    names = {n for node in model.graph.node if node.op_type in layers for n in node.input[1:]}
    return {
        each.name: Leaf(torch.from_numpy(numpy_helper.to_array(each).copy()))
        for each in model.graph.initializer
        if each.name in names and each.data_type == TensorProto.FLOAT
    }
