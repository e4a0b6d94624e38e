"""SMOTE: new rows of rare classes, between those that there are."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from pawl import rng
from pawl.data.types import Examples
from pawl.techniques.data._rows import classes_of, needs_classes
from pawl.techniques.record import Facts, Phase, Settings, number
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split

_NEIGHBORS = 5
_MOST_ROWS = 5_000
"""Of a class, which are looked at for neighbors."""


class SmoteSettings(Settings):
    """Settings of `smote`."""

    exponent: float = number(0.5, 0.1, 1.0, "how far: at 1 all classes have as many rows")


def smote(split: Split, settings: Any) -> Split:
    """Adds rows to rare classes, each on the line between a row and one of its 5 nearest neighbors.

    `x + u (x' - x)`, `u` uniform in [0, 1), `x'` of the same class; categories are those of either. A
    class of `R_c` rows has `R_c (M / R_c)^exponent` then, `M` being the rows of the most frequent one.
    Distances are of standardized numbers, gaps in the middle; another category counts as one deviation.
    What is drawn, the seed decides.
    """
    codes, counts = classes_of(split)
    wanted = counts * (int(counts.max()) / counts.double()) ** settings.exponent
    missing = (wanted.round().long() - counts).tolist()
    seen, key = _vectors(split), split.key("smote")
    pairs = [
        _pairs(seen, (codes == code).nonzero().flatten(), more, rng.fold(key, code))
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


def _vectors(split: Split) -> Tensor:
    """Returns the training rows as vectors in which distances are taken, `[R, D]`, on the CPU."""
    parts = []
    for x in split.examples.take(split.rows).inputs.values():
        flat = x.reshape(len(x), -1).cpu()
        if x.is_floating_point():
            flat = torch.where(flat.isfinite(), flat, torch.nan)
            mean = flat.nanmean(0)
            flat = (torch.where(flat.isnan(), mean, flat) - mean).nan_to_num()
            parts.append(flat / flat.std(0, correction=0).clamp_min(1e-12))
        else:
            # Two rows of unlike categories are one deviation apart.
            parts += [
                2**-0.5
                * torch.nn.functional.one_hot(torch.unique(column, return_inverse=True)[1]).float()
                for column in flat.T
            ]
    return torch.cat(parts, 1)


def _pairs(seen: Tensor, own: Tensor, more: int, key: Tensor) -> tuple[Tensor, Tensor]:
    """Returns rows of a class to start from, `[more]`, and a near one of each.

    Args:
        seen: All training rows, `[R, D]`.
        own: Which are the class's.
        more: How many rows are wanted.
        key: `[]`.
    """
    order = rng.uniform(rng.fold(key, 1), (len(own),)).argsort()
    own = own[order[:_MOST_ROWS]]
    # All come equally often, or once more.
    start = torch.arange(more, device=own.device) % len(own)
    if len(own) == 1:
        return own[start], own[start]
    count = min(_NEIGHBORS, len(own) - 1)
    vectors = seen[own.cpu()].numpy()
    near = (
        NearestNeighbors(n_neighbors=count, n_jobs=1).fit(vectors).kneighbors(return_distance=False)
    )
    chosen = torch.floor(rng.uniform(rng.fold(key, 2), (more,)) * count).long().cpu()
    found = torch.from_numpy(near)[start.cpu(), chosen.clamp_max(count - 1)]
    return own[start], own[found.to(own.device)]


def _between(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Returns what lies between rows, `share` of the way from one to the other."""
    share = share.view(-1, *([1] * (one.dim() - 1)))
    if one.is_floating_point():
        return torch.lerp(one, other, share)
    return torch.where(share < 0.5, one, other)


def _fits(facts: Facts) -> str | None:
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
