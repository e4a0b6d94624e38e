"""Permutation importance: what the metric loses where a column's values are those of other rows.

`I = s(model on the rows) - s(model on the rows with the column permuted)`, the mean over permutations,
signed so that more is more important (Breiman 2001; Fisher, Rudin and Dominici 2019). Any column as it
was read, encoded or not, is permuted as one; columns that say the same are permuted together, too, as
each alone looks useless where the other stands in for it.

Shape legend: `R` rows, `K` permutations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from scipy.stats import rankdata
from torch import Tensor

from pawl.data.types import Examples, Inputs
from pawl.evidence import holdout_score
from pawl.explaining.agreement import rank_correlation
from pawl.explaining.effort import Effort
from pawl.explaining.result import Check, FeatureImportance, Importance
from pawl.explaining.subject import Feature, Subject, count_of, taken
from pawl.rng import derive_seed
from pawl.task import Objective

THRESHOLD = 0.7
"""Columns are a group from this rank correlation on, on average between all of them."""
_ROWS, _FEW_ROWS = 5_000, 500
_EVALUATIONS = 200_000
_FEWEST, _MOST = 4, 10
_STABLE = 0.5


@dataclass(frozen=True)
class _Measured:
    """Of each permutation the loss, `[K]`, and each row's part in it, `[K, R]`."""

    losses: NDArray[np.float64]
    parts: NDArray[np.float64]

    def estimate(self, which: slice = slice(None)) -> tuple[float, tuple[float, float]]:
        """Returns the mean of some permutations and its 95% interval over rows and permutations."""
        value, rows = float(self.losses[which].mean()), self.parts.shape[1]
        error = math.sqrt(float((self.parts[which].mean(0) ** 2).sum()))
        half = float(special.stdtrit(rows - 1, 0.975)) * error
        return value, (value - half, value + half)


def importance(
    subject: Subject, rows: Examples, objective: Objective, *, seed: int, effort: Effort
) -> Importance:
    """Measures how important each column is, and each group of correlated ones.

    The interval: a loss is a mean over pairs, of a row with the row that it gets values from, so that
    each row has a part in it as either (Hoeffding's projection of a U statistic of two rows); the parts
    are by the derivative of the metric in a row's weight, as in `pawl.evidence.crossed`, and the mean of
    their squares over the permutations is the variance. It assumes that rows are independent draws, and
    counts what is left of the permutations' own noise along, so that few of them make it wider.

    Args:
        subject: What is explained.
        rows: With targets.
        objective: The metric.
        seed: Of rows and permutations.
        effort: Fewer permutations are made where it ends before.
    """
    chosen = _sample(len(rows), len(subject.features), seed)
    used = rows.take(torch.from_numpy(chosen))
    groups = correlated(subject, used.inputs)
    wanted: list[tuple[Feature, ...]] = [(each,) for each in subject.features] + groups
    permutations = _permutations(len(used), len(wanted))
    raw = torch.from_numpy(subject.predict(used))
    every = torch.arange(len(used))
    whole = holdout_score(objective, raw, used.known_targets, every)
    if whole is None:
        raise ValueError(f"{objective.metric} is not a number on these rows")
    losses = np.zeros((len(wanted), permutations))
    parts = np.zeros((len(wanted), permutations, len(used)), dtype=np.float32)
    done = 0
    for turn in range(permutations):  # all columns by turns, so that time is short for all alike
        if effort.over and turn >= 2:
            break
        for place, features in enumerate(wanted):
            names = ",".join(each.name for each in features)
            order = torch.from_numpy(_order(seed, names, turn, len(used)))
            mixed = permuted(used.inputs, features, order)
            predicted = torch.from_numpy(subject.predict(Examples(mixed, None)))
            found = holdout_score(objective, predicted, used.known_targets, every)
            if found is None:
                raise ValueError(f"{objective.metric} is not a number with {names} permuted")
            losses[place, turn] = objective.sign * (whole.value - found.value)
            lost = objective.sign * (whole.influence - found.influence).numpy()
            parts[place, turn] = lost
            np.add.at(parts[place, turn], order.numpy(), lost)
        done += 1
    measured = [
        _Measured(lost[:done], part[:done].astype(np.float64))
        for lost, part in zip(losses, parts, strict=True)
    ]
    single: list[FeatureImportance] = []
    grouped: list[FeatureImportance] = []
    for features, each in zip(wanted, measured, strict=True):
        value, interval = each.estimate()
        named = [feature.name for feature in features]
        entry = FeatureImportance(
            name=" + ".join(named), features=named, value=value, interval=interval
        )
        (single if len(features) == 1 else grouped).append(entry)
    return Importance(
        metric=objective.metric,
        direction=objective.direction,
        score=whole.value,
        rows=len(used),
        permutations=done,
        threshold=THRESHOLD,
        features=sorted(single, key=lambda each: -each.value),
        groups=sorted(grouped, key=lambda each: -each.value),
        checks=_checks(measured[: len(subject.features)], done),
    )


def permuted(inputs: Inputs, features: Sequence[Feature], order: Tensor) -> Inputs:
    """Returns rows whose values of some columns are those of other rows, all of the same one."""
    mixed = {name: tensor.clone() for name, tensor in inputs.items()}
    others = taken(inputs, order)
    for feature in features:
        feature.put(mixed, others)
    return mixed


def correlated(subject: Subject, inputs: Inputs) -> list[tuple[Feature, ...]]:
    """Returns groups of columns with like ranks: average linkage of `1 - |Spearman's correlation|`.

    Categories rank by the mean prediction of their rows.
    """
    features = [each for each in subject.features if each.kind != "input"]
    if len(features) < 2 or count_of(inputs) < 3 or subject.kind.has_places:
        return []
    values = subject.values(inputs)
    leading = values[:, np.bincount(subject.leading(values)).argmax()]
    ranks = np.stack([_ranks(each, inputs, leading) for each in features])
    spread = ranks.std(1)
    ranks = (ranks - ranks.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1.0)[:, None]
    distance = 1.0 - np.abs(ranks @ ranks.T) / ranks.shape[1]
    np.fill_diagonal(distance, 0.0)
    joined = hierarchy.linkage(squareform(distance.clip(0.0), checks=False), "average")
    labels = hierarchy.fcluster(joined, 1.0 - THRESHOLD, "distance")
    groups = [
        tuple(feature for feature, own in zip(features, labels, strict=True) if own == label)
        for label in dict.fromkeys(labels.tolist())
    ]
    return [group for group in groups if len(group) > 1]


def _ranks(feature: Feature, inputs: Inputs, predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    values = feature.numbers(inputs)
    if feature.kind == "categorical":
        codes = np.nan_to_num(values).astype(np.int64)
        counts = np.bincount(codes)
        values = (np.bincount(codes, predicted) / np.maximum(counts, 1))[codes]
    finite = values[np.isfinite(values)]
    least = float(finite.min()) - 1.0 if len(finite) else 0.0
    ranked: NDArray[np.float64] = rankdata(np.where(np.isfinite(values), values, least))
    return ranked


def _checks(measured: Sequence[_Measured], done: int) -> list[Check]:
    """Returns whether two estimates, of other permutations each, rank the columns alike."""
    if len(measured) < 4:
        return []
    halves = [[each.estimate(slice(part, done, 2))[0] for each in measured] for part in (0, 1)]
    alike = rank_correlation(*halves)
    passed = alike >= _STABLE
    return [
        Check(
            name="stability",
            value=alike,
            passed=passed,
            text=f"Two estimates by other permutations rank the columns with a correlation of "
            f"{alike:.2f} ({_STABLE} or more is demanded).",
        )
    ]


def _sample(count: int, columns: int, seed: int) -> NDArray[np.int64]:
    most = min(_ROWS, max(_FEW_ROWS, _EVALUATIONS // (_FEWEST * max(1, columns))))
    if count <= most:
        return np.arange(count)
    generator = np.random.default_rng(derive_seed(seed, "importance rows"))
    return np.sort(generator.choice(count, most, replace=False))


def _permutations(rows: int, wanted: int) -> int:
    return max(_FEWEST, min(_MOST, _EVALUATIONS // max(1, rows * wanted)))


def _order(seed: int, names: str, turn: int, count: int) -> NDArray[np.int64]:
    generator = np.random.default_rng(derive_seed(seed, "permutation", names, turn))
    return generator.permutation(count)
