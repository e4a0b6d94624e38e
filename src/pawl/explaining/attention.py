"""Where the attention of a bundle's networks looks in a text, and what that is worth.

Attention says which steps a layer mixes, not what they do to the output; so it has the same checks as
what words add to it, and where it fails them, that is said.

Shape legend: `N` rows, `T` tokens, `L` steps, `H` heads, `C` channels, `W` words of a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from pawl.data.types import Inputs
from pawl.explaining.agreement import rank_correlation
from pawl.explaining.gradients import SHUFFLES, members_of, scrambled
from pawl.explaining.result import Texts
from pawl.explaining.subject import Subject, Values, taken
from pawl.explaining.texts import (
    FEW,
    LEAST_WORDS,
    deletion,
    of_these_weights,
    runs_of,
    told,
)
from pawl.models import Pipeline
from pawl.models.readers import Attention, Attentive

_FAR = -1e4


def attention(
    subject: Subject, rows: Inputs, others: Inputs, pipeline: Pipeline, *, seed: int
) -> Texts | None:
    """Returns how much attention looks at each word, or nothing where there is none, or several texts.

    Args:
        subject: What is explained.
        rows: To explain.
        others: Rows over which the prediction varies as usual.
        pipeline: The bundle's modules.
        seed: Of random orders and shuffled weights.
    """
    specs = [spec for spec in subject.schema.inputs if spec.tokens]
    if len(specs) != 1 or not _has_attention(pipeline):
        return None
    values, scale = subject.values(rows), subject.values(others).std(0)
    runs = [runs_of(subject, taken(rows, [row])) for row in range(len(values))]

    def parts_of(model: Pipeline, row: int) -> Values:
        looks = looked_at(model, taken(rows, [row]), specs[0].shape[0])
        return np.array([looks[list(run.places)].sum() for run in runs[row]])

    spoken = [row for row, found in enumerate(runs) if len(found) >= LEAST_WORDS]
    if not spoken:
        return None
    parts = {row: parts_of(pipeline, row) for row in spoken}
    leading = subject.leading(values)
    checks = [deletion(subject, rows, runs, parts, leading, scale, seed)]
    alike = []
    for number in range(SHUFFLES):
        wrong = scrambled(pipeline, seed, number)
        alike += [rank_correlation(parts[row], parts_of(wrong, row)) for row in spoken[:FEW]]
    checks.append(of_these_weights(float(np.mean(alike))))
    detail = (
        "How much the layers of attention look at each word, through all of them (rollout; Abnar and "
        "Zuidema 2020), the mean over heads and steps. It has no sign: all words are colored alike."
    )
    return told(subject, runs, parts, values, "attention", detail, checks)


def looked_at(pipeline: Pipeline, row: Inputs, tokens: int) -> Values:
    """Returns how much each token of a text is looked at, `[T]`; sums to 1 where there is one.

    `mean_q prod_blocks (A / 2 + I / 2)` with `A` the mean over heads of a block's attention, the mean
    over the models that have attention, by their shares.

    Args:
        pipeline: Raw inputs to predictions.
        row: One row, with one text.
        tokens: `T`.
    """
    total, found = 0.0, np.zeros(tokens)
    for member, share in members_of(pipeline):
        seen: list[tuple[Tensor, Tensor]] = []

        def keep(
            module: nn.Module,
            given: tuple[Tensor, Tensor],
            _: Tensor,
            kept: list[tuple[Tensor, Tensor]] = seen,
        ) -> None:
            kept.append((_weights(module, *given), given[1]))

        readers = [each for each in member.body.modules() if isinstance(each, Attentive)]
        hooks = [
            module.register_forward_hook(keep)
            for module in member.body.modules()
            if isinstance(module, Attention)
        ]
        try:
            with torch.no_grad():
                member(*(row[name] for name in member.names))
        finally:
            for handle in hooks:
                handle.remove()
        if not seen:
            continue
        there = seen[0][1][0, :, 0].double()
        mixed = torch.eye(len(there), dtype=torch.float64)
        for weights, _ in seen:
            mixed = (0.5 * weights + 0.5 * torch.eye(len(there), dtype=torch.float64)) @ mixed
        steps = (there @ mixed) / there.sum().clamp_min(1.0) * there
        stride = readers[0].first.stride
        found += share * np.repeat(steps.numpy() / stride, stride)[:tokens]
        total += share
    return found / total if total else found


def _weights(module: nn.Module, x: Tensor, there: Tensor) -> Tensor:
    """Returns a layer's attention of one row, the mean over heads, `[L, L]`."""
    assert isinstance(module, Attention)
    steps, heads = x.shape[1], x.shape[2] // module.width
    project: Callable[[Tensor], Tensor] = module.query_key_value
    parts = project(x).view(1, steps, 3, heads, module.width)
    query, key, _ = parts.permute(2, 0, 3, 1, 4).unbind(0)
    hidden = _FAR * (1.0 - there.transpose(1, 2).unsqueeze(1))
    likeness = query @ key.transpose(-1, -2) / math.sqrt(module.width) + hidden
    return likeness.softmax(-1)[0].mean(0).double()


def _has_attention(pipeline: Pipeline) -> bool:
    return any(
        isinstance(module, Attention)
        for member, _ in members_of(pipeline)
        for module in member.body.modules()
    )
