"""SMOTE: new rows of rare classes, between those that there are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pawl import rng
from pawl.data.types import Examples, Inputs
from pawl.techniques.data._rows import classes_of, needs_classes
from pawl.techniques.record import Facts, Phase, Settings, number
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split

_NEIGHBORS = 5
_MOST_NUMBERS = 3_000_000
_MOST_ROWS = 5_000
"""Of a class, which are looked at for neighbors."""


class SmoteSettings(Settings):
    """Settings of `smote`."""

    exponent: float = number(0.5, 0.1, 1.0, "how far: at 1 all classes have as many rows")


def smote(split: Split, settings: Any) -> Split:
    """Adds rows to rare classes, each on the line between a row and one of its 5 nearest neighbors.

    `x + u (x' - x)`, `u` uniform in [0, 1), `x'` of the same class; categories are those of either. A
    class of `R_c` rows has `R_c (M / R_c)^exponent` then, `M` being the rows of the most frequent one.
    Distances are of numbers standardized over the class, gaps in the middle; another category counts as
    one deviation. What is drawn, the seed decides.
    """
    codes, counts = classes_of(split)
    wanted = counts * (int(counts.max()) / counts.double()) ** settings.exponent
    missing = (wanted.round().long() - counts).tolist()
    key = split.key("smote")
    pairs = [
        _pairs(split, (codes == code).nonzero().flatten(), more, rng.fold(key, code))
        for code, more in enumerate(missing)
        if more
    ]
    if not pairs:
        return split
    first, second = (torch.cat(each) for each in zip(*pairs, strict=True))
    share = rng.uniform(rng.fold(key, -1), (len(first),))
    one = split.examples.take(split.rows[first])
    other = split.examples.take(split.rows[second])
    inputs = {name: _between(x, other.inputs[name], share) for name, x in one.inputs.items()}
    soft = None if split.soft is None else split.soft[split.rows[first]]
    return split.add(Examples(inputs, one.targets), soft)


def _vectors(inputs: Inputs) -> NDArray[np.float32]:
    """Returns rows as vectors in which distances are taken, `[R, D]`."""
    parts = []
    for x in inputs.values():
        flat = x.reshape(len(x), -1).cpu()
        if x.is_floating_point():
            known = torch.where(flat.isfinite(), flat, torch.nan)
            mean = known.nanmean(0)
            centered = (known - mean).nan_to_num()
            parts.append(centered / centered.std(0, correction=0).clamp_min(1e-12))
        else:
            codes = [torch.unique(column, return_inverse=True)[1] for column in flat.T]
            parts += [2**-0.5 * F.one_hot(each).float() for each in codes]
    return np.asarray(torch.cat(parts, 1).numpy(), dtype=np.float32)


def _pairs(split: Split, own: Tensor, more: int, key: Tensor) -> tuple[Tensor, Tensor]:
    """Returns rows of a class to start from, `[more]`, and a near one of each, by place in `split.rows`.

    Args:
        split: The data.
        own: Which training rows are the class's.
        more: How many rows are wanted.
        key: `[]`.
    """
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415  (slow to import)

    order = rng.uniform(rng.fold(key, 1), (len(own),)).argsort()
    own = own[order[:_MOST_ROWS]]
    # All come equally often, or once more.
    start = torch.arange(more) % len(own)
    if len(own) == 1:
        return own[start], own[start]
    count = min(_NEIGHBORS, len(own) - 1)
    vectors = _vectors(split.examples.take(split.rows[own]).inputs)
    near = NearestNeighbors(n_neighbors=count, n_jobs=1).fit(vectors)
    places = torch.from_numpy(near.kneighbors(return_distance=False))
    chosen = torch.floor(rng.uniform(rng.fold(key, 2), (more,)) * count).long()
    return own[start], own[places[start, chosen.clamp_max(count - 1)]]


def _between(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Returns what lies between rows, `share` of the way from one to the other."""
    share = share.view(-1, *([1] * (one.dim() - 1))).to(one.device)
    if one.is_floating_point():
        return torch.lerp(one, other, share)
    return torch.where(share < 0.5, one, other)


def _fits(facts: Facts) -> str | None:
    numbers = facts.num_rows * sum(math.prod(spec.shape) for spec in facts.schema.inputs)
    if numbers > _MOST_NUMBERS:
        return (
            f"new rows are held once for every model, and {numbers:,} numbers are too many for that "
            f"(at most {_MOST_NUMBERS:,})"
        )
    if any(len(spec.shape) > 1 for spec in facts.schema.inputs):
        return "it takes rows of numbers and categories, and this data has inputs with axes"
    return needs_classes(facts)


TECHNIQUE = DataTechnique(
    name="smote",
    summary="Add rows of rare classes between those that there are.",
    reference="Chawla et al., SMOTE: Synthetic Minority Over-sampling Technique, 2002",
    apply=smote,
    settings=SmoteSettings,
    memberwise=frozenset({"exponent"}),
    phase=Phase.ADDED_ROWS,
    group="balancing",
    draws=True,
    fits=_fits,
)
