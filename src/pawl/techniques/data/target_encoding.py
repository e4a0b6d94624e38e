"""Categories as the mean targets of their rows, out of fold.

Shape legend: `E` examples, `R` training rows, `C` categorical columns, `O` numbers of a target, `V`
codes of all columns.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl import rng
from pawl.data.types import InputSpec
from pawl.kinds import KINDS
from pawl.models import TargetMeans
from pawl.techniques.architecture._tables import needs_table_net
from pawl.techniques.data._targets import count_of, numbers_of
from pawl.techniques.record import Facts, Phase, Settings, number
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split

_NAME = "target_means"
_FOLDS = 5
_MOST_MEANS = 256


class TargetEncodingSettings(Settings):
    """Settings of `target_encoding`."""

    smoothing: float = number(
        10.0, 0.5, 200.0, "rows that a category's mean is drawn to the mean of all by", log=True
    )


def target_encoding(split: Split, settings: Any) -> Split:
    """Adds for each category the mean target of its training rows, `(S + s m) / (n + s)`.

    `n` rows with targets of sum `S`, the mean of all `m`, the smoothing `s`. A training row gets, while
    it trains, the means of the four fifths of the rows that it is not among: with its own target in it a
    rare category's mean would give that away. All other rows get the means of all training rows. Of
    several classes or targets there is a mean for each; those without a known category get that of all
    that have none.
    """
    assert split.schema is not None
    (spec,) = (each for each in split.schema.inputs if each.cardinalities)
    sizes = torch.tensor(spec.cardinalities)
    codes = split.examples.inputs[spec.name][split.rows].cpu() + (sizes.cumsum(0) - sizes)
    targets = numbers_of(split)[split.rows]
    folds, smoothing = _folds(split), settings.smoothing
    total = int(sizes.sum())
    counts, sums = _summed(codes, targets, folds, total)
    means = _smoothed(counts.sum(0), sums.sum(0), smoothing)
    found = means.float()
    others = torch.stack(
        [
            _smoothed(counts.sum(0) - counts[fold], sums.sum(0) - sums[fold], smoothing)
            for fold in range(_FOLDS)
        ]
    )
    own = others[folds.unsqueeze(1), codes].flatten(1).float()
    known = own.new_zeros(len(split.examples), own.shape[1])
    known[split.rows] = own
    names = tuple(f"{column}:mean" for column in spec.features for _ in range(targets.shape[1]))
    more = InputSpec(name=_NAME, shape=(own.shape[1],), dtype="float32", features=names)
    return split.with_input(more, TargetMeans(_NAME, spec.cardinalities, found), known)


def _folds(split: Split) -> Tensor:
    """Returns each training row's fold, `[R]`: rows that are one, or belong together, are in one."""
    units = split.rows
    if split.examples.blocks is not None:
        units = split.examples.blocks.units[units]
    _, which = torch.unique(units, return_inverse=True)
    order = rng.uniform(split.key("target_encoding"), (int(which.max()) + 1,)).argsort()
    return order.argsort()[which] % _FOLDS


def _summed(codes: Tensor, targets: Tensor, folds: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """Returns rows, `[folds, V, 1]`, and sums of targets, `[folds, V, O]`, of each code.

    Behind the codes, at `V`, are those of all rows.
    """
    counts = targets.new_zeros(_FOLDS * (total + 1), 1)
    sums = targets.new_zeros(_FOLDS * (total + 1), targets.shape[1])
    everywhere = torch.cat([codes, torch.full_like(codes[:, :1], total)], 1)
    for column in everywhere.T:
        place = folds * (total + 1) + column
        counts.index_add_(0, place, torch.ones_like(targets[:, :1]))
        sums.index_add_(0, place, targets)
    return counts.view(_FOLDS, total + 1, 1), sums.view(_FOLDS, total + 1, -1)


def _smoothed(counts: Tensor, sums: Tensor, smoothing: float) -> Tensor:
    """Returns smoothed means, `[V, O]`."""
    prior = sums[-1] / counts[-1].clamp_min(1.0)
    return (sums[:-1] + smoothing * prior) / (counts[:-1] + smoothing)


def _fits(facts: Facts) -> str | None:
    reason = needs_table_net(facts)
    if reason is None and KINDS[facts.schema.kind].has_places:
        reason = "targets lie on places of a row"
    if reason:
        return reason
    columns = [len(spec.cardinalities) for spec in facts.schema.inputs if spec.cardinalities]
    if len(columns) != 1:
        return "the task has no categories"
    means = columns[0] * count_of(facts.schema.kind, facts.schema.num_outputs)
    if means > _MOST_MEANS:
        return f"a row would get {means:,} means, and {_MOST_MEANS} are the most"
    return None


TECHNIQUE = DataTechnique(
    name="target_encoding",
    summary="Add the mean target of each category, out of fold for rows that train.",
    reference="Micci-Barreca, A Preprocessing Scheme for High-Cardinality Categorical Attributes, 2001; "
    "Pargent et al., Regularized target encoding outperforms traditional methods, 2022",
    apply=target_encoding,
    settings=TargetEncodingSettings,
    memberwise=frozenset({"smoothing"}),
    phase=Phase.INPUTS,
    draws=True,
    fits=_fits,
)
