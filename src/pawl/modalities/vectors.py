"""Tables, and arrays of any shape: pawl's multilayer perceptron, and starts for what it is good at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from pawl.data.types import ModelSpec, Schema
from pawl.modalities.known import STARTS, learners
from pawl.modalities.modality import Modality
from pawl.modalities.order import Described, known_tables, order_of
from pawl.modalities.recipes import BATCH, competent
from pawl.models import TabularNet
from pawl.recipe import Recipe
from pawl.techniques import Facts

_BATCHES = ((1000, 32), (3000, 64))
_MANY_ROWS = 20_000
"""From so many on cheap recipes come first, and a whole cycle does not overfit."""
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
        first = ("members", "normalized_residual", "members_stopped", "encoded_stopped")
        if facts.num_rows >= _MANY_ROWS:
            first = ("encoded", "encoded_stopped", "members_stopped", "members")
        elif _is_mixed(facts):
            first = ("members_stopped", "encoded_stopped", "members", "normalized_residual")
        elif _is_wide(facts):
            first = ("normalized_residual", "encoded_stopped", "members_stopped", "members")
        names = (*first, "pretuned", "stopped", "averaged", "wide_dropout", "mixed")
        return [STARTS[name](start) for name in names]

    def learners(self, facts: Facts) -> Sequence[Recipe]:
        """Returns lines, neighbors and trees."""
        return list(learners(facts).values())


class Table(Tensors):
    """Columns of numbers and categories; a user's own model gets them as one vector of floats."""

    name = "table"
    sample_rows = 2048
    one_vector = True

    def takes(self, schema: Schema) -> bool:
        """Takes what was read as a table."""
        return schema.source == "table"

    def starts(self, start: Recipe, facts: Facts) -> Sequence[Recipe]:
        """Returns known recipes, in the order that gained most per second on tables like this one."""
        return [STARTS[name](start) for name in _ordered(STARTS, facts)]

    def learners(self, facts: Facts) -> Sequence[Recipe]:
        """Returns lines, neighbors and trees, in such an order; of texts lines come first."""
        found = learners(facts)
        if any(spec.tokens for spec in facts.schema.inputs):
            return list(found.values())
        return [found[name] for name in _ordered(found, facts)]


def _ordered(names: Iterable[str], facts: Facts) -> Sequence[str]:
    return order_of(names, Described.of(facts), known_tables())


def _is_mixed(facts: Facts) -> bool:
    """Tells whether a table has categories or gaps beside its numbers, so numbers of many kinds."""
    return any(spec.cardinalities or any(spec.missing) for spec in facts.schema.inputs)


def _is_wide(facts: Facts) -> bool:
    return sum(len(spec.features) for spec in facts.schema.inputs) >= _MANY_FEATURES
