"""What a bundle's trees look at, beside what the whole model does.

Shape legend: `R` rows, `M` background rows, `D` numbers of a row, `F` columns, `O` outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pawl.data.types import Inputs
from pawl.explaining.agreement import rank_correlation
from pawl.explaining.gradients import SHUFFLES, members_of, scrambled
from pawl.explaining.result import TreeColumn, TreeImportance
from pawl.explaining.subject import Feature, Subject, Values, count_of, taken
from pawl.explaining.tree_gains import gains, split_counts
from pawl.explaining.tree_values import shapley_values
from pawl.explaining.value import Check
from pawl.explaining.worth import RANKED, Attributed, weights_check
from pawl.models import Deployed, Learned, Pipeline, Trees

_PROBED, _ROWS, _LARGEST = 64, 1000, 1e8
_COMPLETE = 1e-3
_UNITS = {"identity": "raw scores", "log": "probabilities", "logit": "probabilities"}


@dataclass(frozen=True)
class Forest:
    """Trees of a bundle: what encodes rows for them, what they count, and in what they speak."""

    member: Deployed
    trees: Trees
    share: float
    units: str

    def encoded(self, inputs: Inputs) -> NDArray[np.float32]:
        """Returns rows as the trees take them, `[R, D]`."""
        learned = self.member.body
        assert isinstance(learned, Learned)
        raw = {name: inputs[name] for name in self.member.names}
        with torch.no_grad():
            found: NDArray[np.float32] = learned.encoder(self.member.front(raw)).float().numpy()
        return found

    def owners(
        self, features: Sequence[Feature], inputs: Inputs, others: Inputs
    ) -> NDArray[np.int64] | None:
        """Returns which column makes each number, `[D]`; `None` where one is of several columns.

        Found by taking a column's values from other rows, which changes only what is made of it.
        """
        whole = self.encoded(inputs)
        found = np.full(whole.shape[1], -1, dtype=np.int64)
        for place, feature in enumerate(features):
            mixed = {name: tensor.clone() for name, tensor in inputs.items()}
            feature.put(mixed, others)
            other = self.encoded(mixed)
            moved = (other != whole) & ~(np.isnan(other) & np.isnan(whole))
            mine = moved.any(0)
            if (found[mine] >= 0).any():
                return None
            found[mine] = place
        return np.where(found < 0, 0, found)  # what no row changes, no split can tell apart


def forests_of(pipeline: Pipeline) -> list[Forest]:
    """Returns the trees among a bundle's models; none where it has none."""
    found = []
    for member, share in members_of(pipeline):
        body = member.body
        if isinstance(body, Learned) and isinstance(body.core, Trees) and len(body.core.nodes) > 1:
            units = _UNITS[body.link]
            if not member.kind.has_classes:
                units = "the target's units"
            elif body.link == "identity" and len(body.core.base) == 1:
                units = "log odds"
            found.append(Forest(member, body.core, share, units))
    return found


def tree_importances(
    subject: Subject, pipeline: Pipeline, rows: Inputs, found: Attributed, *, seed: int
) -> list[TreeImportance] | str:
    """Returns what trees look at, by what they speak in, or why that cannot be told.

    Args:
        subject: What is explained.
        pipeline: The bundle's modules.
        rows: To measure gain and Shapley values on.
        found: The rows explained one by one, whose background is used here, too.
        seed: Of the shuffled leaves, and the rows that are compared.
    """
    forests = forests_of(pipeline)
    if not forests:
        return "the bundle has no trees"
    told = []
    for units in dict.fromkeys(forest.units for forest in forests):
        own = [forest for forest in forests if forest.units == units]
        kept = _of_one_kind(subject, pipeline, own, forests, rows, found, seed)
        if isinstance(kept, str):
            return kept
        told.append(kept)
    return told


def _of_one_kind(
    subject: Subject,
    pipeline: Pipeline,
    own: Sequence[Forest],
    every: Sequence[Forest],
    rows: Inputs,
    found: Attributed,
    seed: int,
) -> TreeImportance | str:
    features, columns = subject.features, len(subject.features)
    probed = taken(rows, np.arange(min(_PROBED, count_of(rows))))
    others = taken(probed, np.roll(np.arange(count_of(probed)), 1))
    owners = [forest.owners(features, probed, others) for forest in own]
    if any(each is None for each in owners):
        return "a number that the trees look at is made of several columns"
    leaves = sum(len(forest.trees.values) for forest in own)
    few = int(min(count_of(rows), _LARGEST // (leaves * count_of(found.background))))
    if few < 1:
        return f"the trees have {leaves:,} leaves, which is too many for exact Shapley values"
    some = taken(rows, np.arange(min(few, 10 * len(found.estimates), count_of(rows))))
    total = sum(forest.share for forest in own)
    splits, gained = np.zeros(columns, dtype=np.int64), np.zeros(columns)
    for forest, owner in zip(own, owners, strict=True):
        assert owner is not None
        used = forest.encoded(taken(rows, np.arange(min(_ROWS, count_of(rows)))))
        splits += split_counts(forest.trees, owner, columns)
        gained += forest.share / total * gains(forest.trees, owner, columns, used)
    try:
        parts = _mean_parts(own, owners, columns, some, found.background)
    except ValueError as error:
        return str(error)
    missed = _missed(own, parts, some, found.background)
    checks = [
        Check(
            name="completeness",
            value=missed,
            passed=missed <= _COMPLETE,
            text="A row's sum misses what the trees say of it, less the mean of the background, by "
            f"{missed:.2g} of their deviation at most ({_COMPLETE:g} is allowed).",
        )
    ]
    output = int(np.bincount(found.leading).argmax()) if parts.shape[2] > 1 else 0
    if columns >= RANKED:
        places = [every.index(forest) for forest in own]
        wrong = []
        for number in range(SHUFFLES):
            other = forests_of(scrambled(pipeline, seed, number))
            chosen = [other[place] for place in places]
            each = _mean_parts(
                chosen,
                owners,
                columns,
                taken(some, np.arange(min(6, len(parts)))),
                found.background,
            )
            wrong.append(each[..., output])
        checks.append(weights_check(parts[..., output], wrong))
    sizes = np.abs(parts).sum(2).mean(0)
    checks.append(_beside(sizes, found))
    told = [
        TreeColumn(
            name=feature.name,
            splits=int(splits[place]),
            gain=float(gained[place] / gained.sum()) if gained.sum() > 0 else 0.0,
            shapley=float(sizes[place]),
        )
        for place, feature in enumerate(features)
    ]
    return TreeImportance(
        units=own[0].units,
        trees=sum(len(forest.trees.roots) for forest in own),
        leaves=leaves,
        share=float(total),
        rows=len(parts),
        background=count_of(found.background),
        columns=sorted(told, key=lambda each: -each.shapley),
        checks=checks,
    )


def _mean_parts(
    forests: Sequence[Forest],
    owners: Sequence[NDArray[np.int64] | None],
    columns: int,
    rows: Inputs,
    background: Inputs,
) -> Values:
    """Returns Shapley values of the mean of trees, `[R, F, O]`, in their units."""
    total = sum(forest.share for forest in forests)
    parts = []
    for forest, owner in zip(forests, owners, strict=True):
        assert owner is not None
        x, others = forest.encoded(rows), forest.encoded(background)
        each = shapley_values(forest.trees, owner, columns, x, others)
        parts.append(each * (forest.share / total * _scale(forest)))
    found: Values = np.sum(parts, 0)
    return found


def _scale(forest: Forest) -> float:
    """Returns what a target's unit is in those of the trees."""
    return (
        1.0
        if forest.member.kind.has_classes
        else float(forest.member.get_buffer("target_std").mean())
    )


def _missed(forests: Sequence[Forest], parts: Values, rows: Inputs, background: Inputs) -> float:
    """Returns the largest distance of a row's sum from what it is to explain, in deviations."""
    total = sum(forest.share for forest in forests)
    own, base = np.zeros(parts[:, 0].shape), np.zeros(parts.shape[2])
    for forest in forests:
        weight = forest.share / total * _scale(forest)
        with torch.no_grad():
            own += weight * forest.trees(torch.from_numpy(forest.encoded(rows))).double().numpy()
            others = forest.trees(torch.from_numpy(forest.encoded(background))).double().numpy()
        base += weight * others.mean(0)
    scale = own.std(0)
    return float((np.abs(parts.sum(1) - (own - base)) / np.where(scale > 0, scale, 1.0)).max())


def _beside(sizes: Values, found: Attributed) -> Check:
    whole = np.abs(found.values()).mean(0)
    same = rank_correlation(sizes, whole)
    return Check(
        name="agreement",
        value=same,
        passed=True,
        text="They rank the columns as the whole model's Shapley values do with a correlation of "
        f"{same:.2f} (nothing is demanded: other models may be in it).",
    )
