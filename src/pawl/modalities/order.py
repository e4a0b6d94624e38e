"""Which known recipes come first on a table: learned from runs over other tables.

`order.json` has, for each of some forty public tables, how far each recipe was from the best one there
and how long it trained; `benchmarks/order.py` made it. None is a table that tools are compared on.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import NamedTuple

from pawl.kinds import KINDS
from pawl.techniques import Facts

_NEAREST = 12
"""Tables that say something about another, the nearest ones most."""
_LEAST_SECONDS = 0.2
"""Of a training, over the baseline's: below it, what comes first does not matter."""
_SCALES = (0.5, 0.5, 0.5, 1.0)
"""One step of each trait: half a power of ten of rows or features, half of the columns, the kind."""

Traits = tuple[float, ...]


class _Table(NamedTuple):
    traits: Traits
    recipes: Mapping[str, tuple[float, float]]


def traits(facts: Facts) -> Traits:
    """Returns powers of ten of rows and of features, the share of categories, and if it has classes."""
    specs = facts.schema.inputs
    features = max(1, sum(len(spec.features) for spec in specs))
    categories = sum(len(spec.cardinalities) for spec in specs)
    return (
        round(math.log10(max(1, facts.num_rows)), 3),
        round(math.log10(features), 3),
        round(categories / features, 3),
        float(KINDS[facts.schema.kind].has_classes),
    )


def ordered(names: Sequence[str], facts: Facts) -> list[str]:
    """Returns recipes' names, first the one with the largest expected gain per second.

    The gain of a recipe is by how much it brings the best of those before it nearer to the best there
    is, on the tables most like this one, each weighing `1 / (1 + d)` at a distance `d`. What is not
    known of a recipe counts as no gain. Recipes without any keep their order behind the others.

    Example:
        >>> ordered([], None)
        []
    """
    if not names:
        return []
    return by_gain(names, _nearest(traits(facts)))


def by_gain(
    names: Sequence[str], tables: Sequence[tuple[float, Mapping[str, tuple[float, float]]]]
) -> list[str]:
    """Returns names in the order of gain per second.

    Args:
        names: What to order.
        tables: A weight each, and by recipe its regret, 0 to 1, and seconds over the baseline's.
    """
    left, found = list(names), list[str]()
    best = [1.0] * len(tables)

    def gain(name: str) -> float:
        total, weights, seconds = 0.0, 0.0, 0.0
        for before, (weight, recipes) in zip(best, tables, strict=True):
            regret, took = recipes.get(name, (1.0, 1.0))
            total += weight * (before - min(before, regret))
            seconds += weight * took
            weights += weight
        return total / max(_LEAST_SECONDS * weights, seconds) if weights else 0.0

    while left:
        first = max(left, key=gain)
        found.append(first)
        left.remove(first)
        best = [
            min(before, recipes.get(first, (1.0, 1.0))[0])
            for before, (_, recipes) in zip(best, tables, strict=True)
        ]
    return found


def _nearest(wanted: Traits) -> list[tuple[float, Mapping[str, tuple[float, float]]]]:
    """Returns the tables most like one, each with its weight."""

    def distance(table: _Table) -> float:
        steps = zip(wanted, table.traits, _SCALES, strict=True)
        return math.sqrt(sum(((a - b) / scale) ** 2 for a, b, scale in steps))

    nearest = sorted(_tables(), key=distance)[:_NEAREST]
    return [(1.0 / (1.0 + distance(table)), table.recipes) for table in nearest]


@functools.cache
def _tables() -> tuple[_Table, ...]:
    text = files("pawl.modalities").joinpath("order.json").read_text(encoding="utf-8")
    return tuple(
        _Table(tuple(each["traits"]), {n: (r, s) for n, (r, s) in each["recipes"].items()})
        for each in json.loads(text)["tables"]
    )
