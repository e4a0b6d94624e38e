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
from pawl.explaining.result import FeatureImportance, Importance
from pawl.explaining.subject import Feature, Subject, count_of, taken
from pawl.explaining.value import Check
from pawl.rng import derive_seed
from pawl.task import Objective

THRESHOLD = 0.7
"""Columns are a group from this rank correlation on, on average between all of them."""
_ROWS, _FEW_ROWS = 5_000, 500
_EVALUATIONS = 200_000
_FEWEST, _MOST = 4, 10
_STABLE = 0.5


@dataclass(frozen=True)
class Measured:
    """Of each permutation the loss, `[K]`, what each pair of rows adds to it, and each row, `[K, R]`."""

    losses: NDArray[np.float64]
    pairs: NDArray[np.float64]
    parts: NDArray[np.float64]

    def estimate(self, which: slice = slice(None)) -> tuple[float, tuple[float, float]]:
        """Returns the mean of some permutations and its 95% interval over rows and permutations."""
        value, (count, rows) = float(self.losses[which].mean()), self.parts[which].shape
        squares = float((self.parts[which].mean(0) ** 2).sum())
        of_pairs = float((self.pairs[which] ** 2).sum()) / count
        variance = max(squares - of_pairs / count, 0.5 * squares)
        half = float(special.stdtrit(rows - 1, 0.975)) * math.sqrt(variance)
        return value, (value - half, value + half)


def importance(
    subject: Subject, rows: Examples, objective: Objective, *, seed: int, effort: Effort
) -> Importance:
    """Measures how important each column is, and each group of correlated ones.

    The interval: a loss is a mean over pairs, of a row with the row that it gets values from, so that
    each row has a part in it as either, `h1 + h2` (Hoeffding's projection of a U statistic of two rows);
    the parts are by the derivative of the metric in a row's weight, as in `pawl.evidence.crossed`. Over
    `K` permutations, a row's mean part also varies by its partners, by `(var h1 + var h2 + 2 var e) / K`
    where `e` is what only the pair has; of this the mean loss has only `(var e) / K`. So the variance of
    one pair, `var h1 + var h2 + var e`, over `K` is taken off. Rows are taken as independent draws.

    Args:
        subject: What is explained.
        rows: With targets.
        objective: The metric.
        seed: Of rows and permutations.
        effort: Fewer permutations are made where it ends before.
    """
    chosen = sampled_rows(len(rows), len(subject.features), seed)
    used = rows.take(torch.from_numpy(chosen))
    groups = correlated(subject, used.inputs)
    wanted: list[tuple[Feature, ...]] = [(each,) for each in subject.features] + groups
    permutations = num_permutations(len(used), len(wanted))
    score, measured = measure(
        subject, used, wanted, objective, seed=seed, effort=effort, permutations=permutations
    )
    done = len(measured[0].losses)
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
        score=score,
        rows=len(used),
        permutations=done,
        threshold=THRESHOLD,
        features=sorted(single, key=lambda each: -each.value),
        groups=sorted(grouped, key=lambda each: -each.value),
        checks=_checks(measured[: len(subject.features)], done),
    )


def measure(
    subject: Subject,
    used: Examples,
    wanted: Sequence[tuple[Feature, ...]],
    objective: Objective,
    *,
    seed: int,
    effort: Effort,
    permutations: int,
) -> tuple[float, list[Measured]]:
    """Returns the score on rows, and what it loses where columns are permuted together.

    Which rows get whose values depends on seed, columns and number of rows alone.

    Raises:
        ValueError: The metric is not a number.
    """
    every = torch.arange(len(used))
    raw = torch.from_numpy(subject.predict(used))
    whole = holdout_score(objective, raw, used.known_targets, every)
    if whole is None:
        raise ValueError(f"{objective.metric} is not a number on these rows")
    losses = np.zeros((len(wanted), permutations))
    pairs = np.zeros((len(wanted), permutations, len(used)), dtype=np.float32)
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
            pairs[place, turn] = parts[place, turn] = lost
            np.add.at(parts[place, turn], order.numpy(), lost)
        done += 1
    return whole.value, [
        Measured(lost[:done], own[:done].astype(np.float64), part[:done].astype(np.float64))
        for lost, own, part in zip(losses, pairs, parts, strict=True)
    ]


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


def _checks(measured: Sequence[Measured], done: int) -> list[Check]:
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


def sampled_rows(count: int, columns: int, seed: int) -> NDArray[np.int64]:
    """Returns which rows are used where there are many."""
    most = min(_ROWS, max(_FEW_ROWS, _EVALUATIONS // (_FEWEST * max(1, columns))))
    if count <= most:
        return np.arange(count)
    generator = np.random.default_rng(derive_seed(seed, "importance rows"))
    return np.sort(generator.choice(count, most, replace=False))


def num_permutations(rows: int, wanted: int) -> int:
    """Returns how many permutations of so many columns are made."""
    return max(_FEWEST, min(_MOST, _EVALUATIONS // max(1, rows * wanted)))


def _order(seed: int, names: str, turn: int, count: int) -> NDArray[np.int64]:
    generator = np.random.default_rng(derive_seed(seed, "permutation", names, turn))
    return generator.permutation(count)
