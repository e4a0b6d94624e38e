"""Where the columns of one table lie in weights that were learned of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from pawl.data.types import Schema

Key = tuple[str, ...]


@dataclass(frozen=True)
class Moved:
    """Places along an axis of a weight tensor that mean the same in two tables.

    Attributes:
        axis: The axis.
        own: What each place means in the model.
        theirs: What each place means in the source; unlike `own`.
    """

    axis: int
    own: tuple[Key, ...]
    theirs: tuple[Key, ...]

    @property
    def said(self) -> str:
        """What was done, in words."""
        known = set(self.theirs)
        kept = sum(key in known for key in self.own)
        return f"rearranged by name ({kept} of {len(self.own)} places known)"

    def put(self, own: Tensor, given: Tensor) -> Tensor | None:
        """Returns the model's tensor with what is known of the given one in place.

        `None` where the tensors are not such.
        """
        if (own.shape[self.axis], given.shape[self.axis]) != (len(self.own), len(self.theirs)):
            return None
        mine, theirs = own.movedim(self.axis, 0).clone(), given.movedim(self.axis, 0).to(own)
        if mine.shape[1:] != theirs.shape[1:]:
            return None
        at = {key: place for place, key in enumerate(self.theirs)}
        for place, key in enumerate(self.own):
            if key in at:
                mine[place] = theirs[at[key]]
        return mine.movedim(0, self.axis).contiguous()


def moves(own: Schema, theirs: Schema, width: int) -> dict[str, Moved]:
    """Returns which axes of a table's network mean something else in two tables, by what reads them.

    Args:
        own: The model's schema.
        theirs: The source's.
        width: Numbers that stand for a category.

    Returns:
        `embedding` for the rows of a table of categories; `stem` for the columns of the first layer
        behind numbers and embedded categories; `vector` for those behind one vector of numbers.
        Empty where both tables are alike, or one is no table.
    """
    if own.source != "table" or theirs.source != "table":
        return {}
    pairs = {
        "embedding": (0, _codes(own), _codes(theirs)),
        "stem": (
            1,
            _numbers(own) + _embedded(own, width),
            _numbers(theirs) + _embedded(theirs, width),
        ),
        "vector": (1, _numbers(own) + _codes(own), _numbers(theirs) + _codes(theirs)),
    }
    return {
        what: Moved(axis, tuple(mine), tuple(others))
        for what, (axis, mine, others) in pairs.items()
        if mine != others
    }


def _numbers(schema: Schema) -> list[Key]:
    found: list[Key] = []
    for spec in schema.inputs:
        if not spec.cardinalities and not spec.tokens:
            found += [("number", name) for name in spec.features]
            missing = zip(spec.features, spec.missing, strict=False)
            found += [("missing", name) for name, may in missing if may]
    return found


def _codes(schema: Schema) -> list[Key]:
    columns = {column.name: column.categories for column in schema.columns}
    found: list[Key] = []
    for name, count in _categorical(schema):
        known: Sequence[str] = columns.get(name, ())
        for code in range(count):
            label = known[code - 1] if 0 < code <= len(known) else str(code)
            found.append(("unknown", name) if code == 0 else ("category", name, label))
    return found


def _embedded(schema: Schema, width: int) -> list[Key]:
    return [
        ("embedded", name, str(place)) for name, _ in _categorical(schema) for place in range(width)
    ]


def _categorical(schema: Schema) -> list[tuple[str, int]]:
    return [
        pair
        for spec in schema.inputs
        for pair in zip(spec.features, spec.cardinalities, strict=False)
    ]
