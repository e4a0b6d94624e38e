"""What augmentations of tables share."""

from __future__ import annotations

from pawl.data.types import InputSpec
from pawl.techniques.record import Facts

CATEGORIES = "categorical"


def vectors(facts: Facts) -> list[InputSpec]:
    """Returns the inputs that are numbers, vectors of them, or a table's categories."""
    return [
        spec for spec in facts.schema.inputs
        if len(spec.shape) <= 1 and (spec.dtype == "float32" or spec.cardinalities)
    ]  # fmt: skip


def needs_columns(facts: Facts) -> str | None:
    """Says that there are no columns of numbers or categories, or other inputs beside them."""
    if len(vectors(facts)) < len(facts.schema.inputs):
        return "it takes rows of numbers and categories, and this data has other inputs"
    return None
