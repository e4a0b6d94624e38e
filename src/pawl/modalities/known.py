"""What is known to be good for tables and arrays of any shape: recipes of networks, and learners."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from pawl.kinds import KINDS
from pawl.modalities.recipes import add, averaged, smooth_cycle, stopped, with_rate
from pawl.recipe import Recipe
from pawl.techniques import Facts, technique

_LEAF_ROWS = ((5_000, 1), (20_000, 3), (100_000, 10), (math.inf, 30))
"""Fewest rows of a leaf of a forest, below so many: leaves of one row remember copies, but are many"""
_LEAVES = ((10_000, 15), (40_000, 31), (math.inf, 63))
"""Of a shallow tree, below so many rows."""
_FEW_ROWS = 1000
_TEXT_PENALTY = 0.1
"""Rows of a text's weights have length 1, spread over hundreds of tokens: slopes must be large."""


def learners(facts: Facts) -> Mapping[str, Recipe]:
    """Returns lines, neighbors and trees, of texts lines first.

    Boosted trees come shallow, which most tables want (`benchmarks/order.py`), deep, which remember
    copies, and at random thresholds, which are unlike both; these two as pytabkit and AutoGluon have
    them. So do forests: extra trees remember, the random forest does not.
    """
    scaled: dict[str, dict[str, object]] = {"standardize": {}}
    if technique("standardize").fits(facts):
        scaled = {}
    classes = KINDS[facts.schema.kind].has_classes
    texts = any(spec.tokens for spec in facts.schema.inputs)
    leaf = next(n for rows, n in _LEAF_ROWS if facts.num_rows < rows)
    shallow: dict[str, object] = {
        "learning_rate": 0.05, "leaf_rows": 40 if classes else 5, "feature_share": 0.7,
        "leaves": next(n for rows, n in _LEAVES if facts.num_rows < rows),
    }  # fmt: skip
    deep: dict[str, object] = {
        "learning_rate": 0.05, "leaves": 100, "leaf_rows": 3, "row_share": 0.7,
    }  # fmt: skip
    if classes:
        deep = {"leaf_rows": 40 if facts.num_rows >= _FEW_ROWS else 10}
    drawn = {"splits": "random", "feature_share": 0.55, "leaf_rows": 3, "leaves": 64}
    tables: dict[str, dict[str, dict[str, object]]] = {
        "lightgbm": {"lightgbm": shallow},
        "catboost": {"catboost": {}},
        "linear": scaled | {"linear": {"penalty": _TEXT_PENALTY} if texts else {}},
        "nearest_neighbors": scaled | {"nearest_neighbors": {}},
        "extra_trees": {"extra_trees": {"leaf_rows": leaf}},
        "modern_nca": {"modern_nca": {}},
        "deep_lightgbm": {"lightgbm": deep},
        "random_lightgbm": {"lightgbm": deep | drawn},
        "random_forest": {"random_forest": {"leaf_rows": max(5, leaf), "feature_share": 0.33}},
        "boosted_nets": {"boosted_nets": {}},
    }
    if texts:
        tables = {"linear": tables["linear"], **tables}
    return {name: Recipe.from_dict(each) for name, each in tables.items()}


def normalized_residual(start: Recipe) -> Recipe:
    """Deeper, with skip connections and batch normalization."""
    return add(smooth_cycle(start), residual={}, depth={"layers": 3}, batch_norm={})


def encoded(start: Recipe) -> Recipe:
    """Numbers encoded by bins, as trees see them, over a whole cycle: for many rows."""
    return add(smooth_cycle(start), piecewise_linear={})


def encoded_stopped(start: Recipe) -> Recipe:
    """Encoded, at the start's own rate, stopped early: few rows are soon overfitted by a whole cycle."""
    smoothed = stopped(start).with_("ema", horizon=60.0)
    return add(smoothed, piecewise_linear={"bins": 8}, dropout={"rate": 0.1})


def members(start: Recipe) -> Recipe:
    """Encoded, with many predictors in one network, which overfit less than one does."""
    return add(smooth_cycle(start), piecewise_linear={"bins": 8}, layer_norm={}, tabm={})


def members_stopped(start: Recipe) -> Recipe:
    """Fewer predictors, at the start's own rate, stopped early."""
    return add(stopped(start), piecewise_linear={"bins": 8}, tabm={"members": 8})


def pretuned(start: Recipe) -> Recipe:
    """RealMLP's way, smaller: robust scales, cosines, learned scales and activations, four cycles.

    Holzmueller et al., Better by Default, 2024; rates are for weights as PyTorch draws them.
    """
    recipe = start.without("early_stopping") if "early_stopping" in start else start
    return add(
        with_rate(recipe, 3e-3, 0.02).with_("adamw", beta2=0.95).with_("coslog4"),
        robust_scale={},
        periodic={},
        input_scale={},
        parametric_activation={},
        activation={"function": "mish"},
        depth={"layers": 3},
        dropout={"rate": 0.15},
    )


def wide_dropout(start: Recipe) -> Recipe:
    """Wider, and held back by dropout."""
    return add(
        with_rate(smooth_cycle(start), 2e-3, 0.03),
        width={"factor": 2.0},
        dropout={"rate": 0.15},
        activation={"function": "gelu"},
    )


def mixed(start: Recipe) -> Recipe:
    """Mixtures of rows, layer normalization, averaged weights."""
    return add(averaged(start), mixup={"alpha": 0.2}, layer_norm={})


STARTS: Mapping[str, Callable[[Recipe], Recipe]] = {
    make.__name__: make
    for make in (
        members, normalized_residual, members_stopped, encoded_stopped, encoded,
        pretuned, stopped, averaged, wide_dropout, mixed,
    )
}  # fmt: skip
"""By name, made from the baseline."""
