"""Forests of scikit-learn as sums of trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pawl.data.types import ModelSpec
from pawl.models import Encoder, Learned, Tree, Trees
from pawl.techniques.learning import encoded, probable
from pawl.techniques.record import Settings, number
from pawl.techniques.stages import Beat
from pawl.techniques.trees._sums import LARGEST_SEED
from pawl.techniques.values import FitRows

_AT_ONCE, _ROWS_AT_ONCE = 10, 200_000
"""Most trees between two beats, and their rows; the trees do not depend on it."""


class ForestSettings(Settings):
    """Settings of forests."""

    trees: int = number(100, 10, 1000, "number of trees")
    leaf_rows: int = number(1, 1, 200, "fewest rows of a leaf")
    feature_share: float = number(0.5, 0.05, 1.0, "share of the features that a split may look at")


def module(spec: ModelSpec, settings: Any) -> Learned:
    """Returns an empty forest."""
    del settings
    encoder = Encoder(spec.inputs, one_hot=False)
    return Learned(encoder, Trees(spec.num_outputs), probable(spec))


def fit_forest(
    learned: Learned, rows: FitRows, settings: Any, seed: int, beat: Beat, *, random_splits: bool
) -> None:
    """Grows a forest: means of fully grown trees.

    Args:
        learned: From `module`.
        rows: What it grows on.
        settings: `ForestSettings`.
        seed: Decides what is random.
        beat: Called every few trees.
        random_splits: Whether thresholds are drawn, and every tree sees every row.
    """
    from sklearn import ensemble  # noqa: PLC0415  (slow to import)

    x, _ = encoded(learned, rows)
    classes = learned.link == "log"
    kinds: dict[tuple[bool, bool], Any] = {
        (True, True): ensemble.ExtraTreesClassifier,
        (True, False): ensemble.ExtraTreesRegressor,
        (False, True): ensemble.RandomForestClassifier,
        (False, False): ensemble.RandomForestRegressor,
    }
    forest = kinds[random_splits, classes](
        n_estimators=0,
        min_samples_leaf=settings.leaf_rows,
        max_features=settings.feature_share,
        warm_start=True,
        random_state=seed % LARGEST_SEED,
        n_jobs=1,
    )
    targets, weights = rows.targets.numpy(), None if rows.weights is None else rows.weights.numpy()
    few = max(1, min(_AT_ONCE, _ROWS_AT_ONCE // len(x)))
    for grown in range(0, settings.trees, few):
        beat()
        forest.set_params(n_estimators=min(settings.trees, grown + few))
        forest.fit(x, targets, sample_weight=weights)
    core = learned.core
    assert isinstance(core, Trees)
    outputs = len(core.base)
    known = forest.classes_ if classes else None
    trees = []
    for each in forest.estimators_:
        tree = each.tree_
        value = tree.value[:, 0, :] if classes else tree.value[:, :, 0]
        if known is not None and len(known) < outputs:  # a class without rows here
            value, part = np.zeros((len(value), outputs)), value
            value[:, known] = part
        trees.append(
            Tree(
                tree.feature, tree.threshold, tree.children_left, tree.children_right,
                value / settings.trees,
            )
        )  # fmt: skip
    core.grow(trees, torch.zeros(outputs))
