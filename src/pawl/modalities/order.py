"""In which order known recipes are tried on a table: learned from what they gave on other tables.

`order.json` is written by `benchmarks/order.py`: of public tables how far each recipe was from the best
one, and what it took. Tables that are like the one at hand count most.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pawl.kinds import KINDS
from pawl.techniques import Facts

_WIDTH = 1.0
"""Of the kernel, in the units of `_distance`: tables so far off count 0.6 of one that is the same."""
_OTHER_KIND = 1.0
"""How far a table of classes is from one of values, all else equal."""


@dataclass(frozen=True)
class Described:
    """What orders go by.

    Attributes:
        rows: Development rows.
        columns: Inputs.
        mixed: The share of inputs that are categories.
        classes: Whether classes are predicted, not values.
    """

    rows: int
    columns: int
    mixed: float
    classes: bool

    @classmethod
    def of(cls, facts: Facts) -> Described:
        """Describes a task."""
        inputs = facts.schema.inputs
        columns = max(1, sum(len(spec.features) for spec in inputs))
        mixed = sum(len(spec.cardinalities) for spec in inputs) / columns
        return cls(facts.num_rows, columns, mixed, KINDS[facts.schema.kind].has_classes)


@dataclass(frozen=True)
class Known:
    """What recipes gave on one table.

    Attributes:
        about: The table.
        tried: By name: how far from the best, as a share of what lies between baseline and best (1 is
            as bad as the baseline, or worse), and the seconds, as a multiple of the baseline's.
    """

    about: Described
    tried: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, about: Described, scores: Mapping[str, Sequence[float]]) -> Known:
        """Makes it of scores (higher is better) and seconds by name, `baseline` among them."""
        base, unit = scores["baseline"][:2]
        best = max(score for score, _ in scores.values())
        span = best - base
        return cls(
            about,
            {
                name: (min(1.0, (best - score) / span) if span > 0 else 0.0, seconds / unit)
                for name, (score, seconds) in scores.items()
                if name != "baseline"
            },
        )


def order_of(names: Iterable[str], about: Described, tables: Sequence[Known]) -> list[str]:
    """Returns the names in the order in which they are expected to gain most per second.

    Greedy: next comes what brings the best so far closest to the best there is, per second, in the mean
    of other tables, each weighted by `exp(-distance^2 / 2)`; what does the same as one before it waits.
    Names that no table knows come last, as given.

    Args:
        names: Of recipes.
        about: The table at hand.
        tables: What is known of others.
    """
    given = list(names)
    weights = [math.exp(-0.5 * (_distance(about, table.about) / _WIDTH) ** 2) for table in tables]
    left = [name for name in given if any(name in table.tried for table in tables)]
    reached, found = [1.0] * len(tables), list[str]()

    def worth(name: str) -> tuple[float, float]:
        """Returns what a recipe adds per second, and how good it is alone."""
        added, alone, seconds, total = 0.0, 0.0, 0.0, 0.0
        for table, weight, now in zip(tables, weights, reached, strict=True):
            if name in table.tried:
                regret, took = table.tried[name]
                added += weight * max(0.0, now - regret)
                alone += weight * (1.0 - regret)
                seconds += weight * took
                total += weight
        return (added / seconds, alone / total) if seconds > 0 else (0.0, 0.0)

    while left:
        best = max(left, key=worth)
        left.remove(best)
        found.append(best)
        reached = [
            min(now, table.tried[best][0]) if best in table.tried else now
            for table, now in zip(tables, reached, strict=True)
        ]
    return found + [name for name in given if name not in found]


@cache
def known_tables() -> tuple[Known, ...]:
    """Returns what is known of public tables."""
    text = files("pawl.modalities").joinpath("order.json").read_text(encoding="utf-8")
    return tuple(
        Known(
            Described(**table["about"]), {name: (r, s) for name, (r, s) in table["tried"].items()}
        )
        for table in json.loads(text)["tables"]
    )


def _distance(one: Described, other: Described) -> float:
    """Returns how unlike two tables are: a factor of ten in rows, or in columns, is 1."""
    return math.hypot(
        math.log10(one.rows / other.rows),
        math.log10(one.columns / other.columns),
        one.mixed - other.mixed,
        _OTHER_KIND * (one.classes != other.classes),
    )
