"""Weights of zero that are not kept: a bit for each weight says whether it is there, and 8 follow if so.

The file gets smaller, and nothing else: ONNX Runtime puts the weights together once, when the graph is
loaded, and computes as before. No processor computes faster for zeros that lie anywhere, and of zeros
in a pattern (2 of 4) only some do, with kernels that ONNX Runtime has none of: so this is never said to
be speed. Sources of what stays: Lee et al., Layer-adaptive sparsity for the magnitude-based pruning
(LAMP), ICLR 2021; Mishra et al., Accelerating sparse deep neural networks, 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from pawl.compression.candidate import Candidate
from pawl.compression.graphs import in_bytes, operators
from pawl.compression.operations import rounded
from pawl.compression.quantizing import integers_in
from pawl.compression.sharing import SIZE_ALONE, Whole, whole_weights
from pawl.compression.trainable import Leaf, Trainable, trained
from pawl.compression.work import Work
from pawl.deployment.export import predict

STEP = "sparse weights"
_SHARES = (0.7, 0.8, 0.9)
"""Of weights that become zero, wherever they lie."""
_KEPT, _IN = 2, 4
"""The pattern that comes first: so many of so many weights in a row stay."""
_RATE = 0.15
"""In steps of the 8 bits, so that all layers move alike."""
_LEAST_ELEMENTS = 256
_BITS, _MOST = 8, 127.0


def thinned_out(work: Work, current: Candidate) -> list[Candidate] | str:
    """Proposes matrices and kernels of which half or more of the weights are zero, the fewest last.

    Weights are whole numbers of 8 bits, if they are not yet. First the two least of any four in a row
    go; then the least over all layers, by their share of the squares of those that are no smaller. What
    is left is trained on what the original predicts, at a rate that begins anew with each candidate, and
    is where the next one starts. Where one does not seem good enough, weights that stay are rewound to
    what the graph had, and trained from there.

    Args:
        work: Rows and measures.
        current: What it starts from.

    Returns:
        Candidates, which gain size alone, or why there are none.
    """
    if not work.goals.size:
        return SIZE_ALONE
    model = onnx.load_from_string(in_bytes(current.graph)[0])
    fitting = {each.name for each in model.graph.initializer if _fits(each)}
    weights = list(whole_weights(model, fitting, onnx.load_from_string(current.graph)))
    if not weights:
        return "the graph has no matrices or kernels of which weights could be left out"
    before, found = operators(current.graph), list[Candidate]()
    own = {each.name: each.start / each.scale for each in weights}
    axes, values = {each.name: _inputs_of(each) for each in weights}, own
    for share in (None, *_SHARES):
        masks = patterned(values, axes) if share is None else masked(values, share)
        for start in (values, own) if found else (own,):
            made = _trained(work, model, weights, start, masks)
            ran = operators(made.graph)
            if ran.total() > before.total() or integers_in(ran) != integers_in(before):
                return "ONNX Runtime would put the weights together in each call"
            judged = work.judge(predict(made.graph, work.choices))
            if judged.passed:
                break
        else:
            return found or (
                f"on the rows for choices {_zeros(masks):.0%} of weights that are zero lose "
                f"{judged.loss:.3g}, at most {judged.at_most:.3g}, where {judged.allowed:.3g} is allowed"
            )
        values = made.values
        how = ["rewound"] if found and start is own else []
        how = [*([f"{_KEPT} of any {_IN} in a row"] if share is None else []), *how]
        found.append(_candidate(current, made, masks, how))
    return found


def _candidate(
    current: Candidate, made: _Thin, masks: Mapping[str, Tensor], how: Sequence[str]
) -> Candidate:
    count = sum(mask.numel() for mask in masks.values())
    zero = {name: round(_zeros({name: mask}), 4) for name, mask in masks.items()}
    told = f" ({', '.join(how)})" if how else ""
    detail = f"{_zeros(masks):.0%} of {count:,} weights zero{told} and not kept (size alone)"
    return replace(
        current, step=STEP, detail=detail, graph=made.graph, is_exact=False, is_lossless=False,
        facts={"weights": count, "steps": made.steps, "zero": zero, "how": list(how)},
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Thin:
    """A graph without some weights.

    Attributes:
        graph: As ONNX.
        values: All weights, those that are masked as they were.
        steps: Of training.
    """

    graph: bytes
    values: dict[str, Tensor]
    steps: int


def _trained(
    work: Work,
    model: onnx.ModelProto,
    weights: Sequence[Whole],
    start: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
) -> _Thin:
    """Trains the weights that stay from here on."""
    module = Trainable(model, {w.name: _leaf(w, start, masks) for w in weights})
    steps = trained(work, module, _RATE)
    values = module.values()
    wholes = {w.constant: _whole(values[w.name], masks[w.name]) for w in weights}
    return _Thin(_written(model, wholes), values, steps)


def patterned(
    values: Mapping[str, Tensor], axes: Mapping[str, int], kept: int = _KEPT, among: int = _IN
) -> dict[str, Tensor]:
    """Returns which weights stay, as ones and zeros: the `kept` largest of each `among` in a row.

    A row runs along the inputs that a unit sums over; what is left at its end, being fewer, stays.

    Args:
        values: Weights of each layer.
        axes: The axis of each that has its inputs.
        kept: From 1 to `among`.
        among: How many weights are one group.

    Example:
        >>> left = patterned({"a": torch.tensor([[1.0, -4.0, 3.0, 2.0, 0.1]])}, {"a": 1})
        >>> left["a"].tolist()
        [[0.0, 1.0, 1.0, 0.0, 1.0]]
    """
    masks = {}
    for name, value in values.items():
        rows = value.detach().abs().movedim(axes[name], -1)
        whole = rows.shape[-1] - rows.shape[-1] % among
        stays = torch.ones_like(rows)
        if whole:
            groups = rows[..., :whole].reshape(*rows.shape[:-1], -1, among)
            chosen = torch.zeros_like(groups).scatter(-1, groups.topk(kept).indices, 1.0)
            stays[..., :whole] = chosen.flatten(-2)
        masks[name] = stays.movedim(-1, axes[name])
    return masks


def _inputs_of(weight: Whole) -> int:
    """Returns the axis of a weight's inputs: of kernels the second, of matrices that without scales."""
    if weight.start.dim() > 2:
        return 1
    return 0 if weight.scale.dim() < 2 or weight.scale.shape[0] == 1 else 1


def masked(values: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Returns which weights stay, as ones and zeros, where this share of all of them goes.

    A weight's score is its square over the sum of the squares of its layer's weights that are no
    smaller, so that no layer goes as a whole.

    Args:
        values: Weights of each layer.
        share: From 0 to 1.

    Example:
        >>> left = masked({"a": torch.tensor([1.0, 2.0, 3.0, 4.0])}, 0.5)
        >>> left["a"].tolist()
        [0.0, 0.0, 1.0, 1.0]
    """
    scores = {name: _scores(value) for name, value in values.items()}
    every = torch.cat([score.flatten() for score in scores.values()])
    count = int(share * len(every))
    stays = torch.ones(len(every))
    stays[every.argsort(stable=True)[:count]] = 0.0
    sizes = [score.numel() for score in scores.values()]
    parts = torch.split(stays, sizes)
    return {
        name: part.reshape(score.shape)
        for (name, score), part in zip(scores.items(), parts, strict=True)
    }


def _scores(value: Tensor) -> Tensor:
    squares, order = value.detach().double().square().flatten().sort()
    larger = squares.flip(0).cumsum(0).flip(0)
    scores = torch.empty_like(squares)
    scores[order] = squares / larger.clamp_min(1e-30)
    return scores.reshape(value.shape)


def _leaf(weight: Whole, values: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Leaf:
    mask = masks[weight.name]

    def seen(value: Tensor) -> Tensor:
        return rounded(value * mask).clamp(-_MOST, _MOST) * weight.scale

    return Leaf(values[weight.name], seen)


def _whole(value: Tensor, mask: Tensor) -> np.ndarray:
    return np.asarray((value * mask).round().clamp(-_MOST, _MOST).numpy().astype(np.int8))


def _zeros(masks: Mapping[str, Tensor]) -> float:
    """Returns the share of all weights that go."""
    every = sum(mask.numel() for mask in masks.values())
    return 1.0 - sum(float(mask.sum()) for mask in masks.values()) / every


def _fits(constant: TensorProto) -> bool:
    """Tells whether a constant is worth it, and has its bits in whole bytes."""
    size = int(np.prod(constant.dims))
    return constant.data_type == TensorProto.INT8 and size >= _LEAST_ELEMENTS and size % _BITS == 0


def _written(model: onnx.ModelProto, wholes: Mapping[str, np.ndarray]) -> bytes:
    """Returns a graph in which nodes make these constants of their bits and of what is not zero."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:], made.graph.initializer[:]
    for name, whole in wholes.items():
        nodes, parts = _nodes(name, whole)
        made.graph.node.extend(nodes)
        made.graph.initializer.extend(parts)
    made.graph.node.extend(model.graph.node)
    kept = [each for each in model.graph.initializer if each.name not in wholes]
    made.graph.initializer.extend(kept)
    return bytes(made.SerializeToString())


def _nodes(name: str, whole: np.ndarray) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """Returns nodes that make a constant: where a bit is set the next of those kept, else zero."""

    def own(part: str) -> str:
        return f"{name}_{part}"

    flat = whole.reshape(-1)
    there = flat != 0
    odd = np.zeros(int(there.sum()) % 2, dtype=np.int8)  # so that shared values fill whole bytes
    parts: dict[str, np.ndarray] = {
        "bits": np.packbits(there, bitorder="little").reshape(-1, 1),
        "powers": 2 ** np.arange(_BITS, dtype=np.int32), "two": np.array(2, dtype=np.int32),
        "flat": np.array([-1]), "axis": np.array(0), "shape": np.array(whole.shape, dtype=np.int64),
        "zero": np.zeros(1, dtype=np.int8), "kept": np.append(flat[there], odd),
    }  # fmt: skip
    made = [
        helper.make_node("Cast", [own("bits")], [own("bytes")], to=TensorProto.INT32),
        helper.make_node("Div", [own("bytes"), own("powers")], [own("shifted")]),
        helper.make_node("Mod", [own("shifted"), own("two")], [own("each")]),
        helper.make_node("Reshape", [own("each"), own("flat")], [own("there")]),
        helper.make_node("CumSum", [own("there"), own("axis")], [own("counted")]),
        helper.make_node("Mul", [own("there"), own("counted")], [own("places")]),
        helper.make_node("Concat", [own("zero"), own("kept")], [own("values")], axis=0),
        helper.make_node("Gather", [own("values"), own("places")], [own("together")]),
        helper.make_node("Reshape", [own("together"), own("shape")], [name]),
    ]
    return made, [numpy_helper.from_array(v, own(part)) for part, v in parts.items()]
