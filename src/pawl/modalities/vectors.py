"""Tables, and arrays of any shape: pawl's multilayer perceptron, and starts for what it is good at."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from pawl.data.types import ModelSpec, Schema
from pawl.kinds import KINDS
from pawl.modalities.modality import Modality
from pawl.modalities.recipes import (
    BATCH,
    add,
    averaged,
    competent,
    smooth_cycle,
    stopped,
    with_rate,
)
from pawl.models import TabularNet
from pawl.recipe import Recipe
from pawl.techniques import Facts, technique

_BATCHES = ((1000, 32), (3000, 64))
_MANY_ROWS = 20_000
"""From so many on cheap recipes come first, and a whole cycle does not overfit."""
_LEAF_ROWS = ((5_000, 1), (20_000, 3), (100_000, 10), (math.inf, 30))
"""Fewest rows of a leaf of a forest, below so many: leaves of one row remember copies, but are many"""
_FEW_ROWS = 1000
_MANY_FEATURES = 50
"""From so many on cheap recipes come first: bins and members multiply what a step costs."""


class Tensors(Modality):
    """Arrays of any shape. Pawl's own network takes them flat."""

    name = "tensors"

    def takes(self, schema: Schema) -> bool:
        """Takes everything."""
        return True

    def net(self, spec: ModelSpec) -> nn.Module:
        """Returns a multilayer perceptron."""
        return TabularNet(spec)

    def baseline(self, facts: Facts) -> Recipe:
        """Returns the competent recipe; below 3,000 rows with smaller batches, for enough steps."""
        size = next((small for rows, small in _BATCHES if facts.num_rows < rows), BATCH)
        return competent(facts, size)

    def starts(self, start: Recipe, facts: Facts) -> Sequence[Recipe]:
        """Returns known recipes; which comes first depends on rows, features and their kinds."""
        first = (_members, _normalized_residual, _members_stopped, _encoded_stopped)
        if facts.num_rows >= _MANY_ROWS:
            first = (_encoded, _encoded_stopped, _members_stopped, _members)
        elif _is_mixed(facts):
            first = (_members_stopped, _encoded_stopped, _members, _normalized_residual)
        elif _is_wide(facts):
            first = (_normalized_residual, _encoded_stopped, _members_stopped, _members)
        makers = (*first, _pretuned, stopped, averaged, _wide_dropout, _mixed)
        return [make(start) for make in makers]

    def learners(self, facts: Facts) -> Sequence[Recipe]:
        """Returns trees, lines and neighbors; trees as pytabkit's defaults and AutoGluon have them."""
        scaled: dict[str, dict[str, object]] = {"standardize": {}}
        if technique("standardize").fits(facts):
            scaled = {}
        classes = KINDS[facts.schema.kind].has_classes
        forest: dict[str, object] = {
            "leaf_rows": next(n for rows, n in _LEAF_ROWS if facts.num_rows < rows)
        }
        boosted: dict[str, object] = {
            "learning_rate": 0.05, "leaves": 100, "leaf_rows": 3, "row_share": 0.7,
        }  # fmt: skip
        if classes:
            boosted = {"leaf_rows": 40 if facts.num_rows >= _FEW_ROWS else 10}
        drawn = {"splits": "random", "feature_share": 0.55, "leaf_rows": 3, "leaves": 64}
        tables: list[dict[str, dict[str, object]]] = [
            {"lightgbm": boosted},
            {"catboost": {}},
            scaled | {"linear": {}},
            scaled | {"nearest_neighbors": {}},
            {"extra_trees": forest},
            {"modern_nca": {}},
            {"lightgbm": boosted | drawn},
            {"random_forest": forest},
            {"boosted_nets": {}},
        ]
        return [Recipe.from_dict(each) for each in tables]


class Table(Tensors):
    """Columns of numbers and categories; a user's own model gets them as one vector of floats."""

    name = "table"
    sample_rows = 2048
    one_vector = True

    def takes(self, schema: Schema) -> bool:
        """Takes what was read as a table."""
        return schema.source == "table"


def _normalized_residual(start: Recipe) -> Recipe:
    """Deeper, with skip connections and batch normalization."""
    return add(smooth_cycle(start), residual={}, depth={"layers": 3}, batch_norm={})


def _encoded(start: Recipe) -> Recipe:
    """Numbers encoded by bins, as trees see them, over a whole cycle: for many rows."""
    return add(smooth_cycle(start), piecewise_linear={})


def _encoded_stopped(start: Recipe) -> Recipe:
    """Encoded, at the start's own rate, stopped early: few rows are soon overfitted by a whole cycle."""
    averaged = stopped(start).with_("ema", horizon=60.0)
    return add(averaged, piecewise_linear={"bins": 8}, dropout={"rate": 0.1})


def _members(start: Recipe) -> Recipe:
    """Encoded, with many predictors in one network, which overfit less than one does."""
    return add(smooth_cycle(start), piecewise_linear={"bins": 8}, layer_norm={}, tabm={})


def _members_stopped(start: Recipe) -> Recipe:
    """Fewer predictors, at the start's own rate, stopped early."""
    return add(stopped(start), piecewise_linear={"bins": 8}, tabm={"members": 8})


def _pretuned(start: Recipe) -> Recipe:
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


def _wide_dropout(start: Recipe) -> Recipe:
    """Wider, and held back by dropout."""
    return add(
        with_rate(smooth_cycle(start), 2e-3, 0.03),
        width={"factor": 2.0},
        dropout={"rate": 0.15},
        activation={"function": "gelu"},
    )


def _mixed(start: Recipe) -> Recipe:
    """Mixtures of rows, layer normalization, averaged weights."""
    return add(averaged(start), mixup={"alpha": 0.2}, layer_norm={})


def _is_mixed(facts: Facts) -> bool:
    """Tells whether a table has categories or gaps beside its numbers, so numbers of many kinds."""
    return any(spec.cardinalities or any(spec.missing) for spec in facts.schema.inputs)


def _is_wide(facts: Facts) -> bool:
    return sum(len(spec.features) for spec in facts.schema.inputs) >= _MANY_FEATURES
