"""Points as vectors in the unit cube, and what trials are worth to a model of numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from pawl.search.grid import counts
from pawl.search.protocols import Params, Searchable, TrialResult

Vector = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Cube:
    """Some parameters as the unit cube: ranges, or their logarithms, onto `[0, 1]`.

    A choice or a whole number is an interval, all equally wide; it is encoded by the middle of its own.

    Attributes:
        distributions: Of the parameters; their order is that of the axes.

    Example:
        >>> cube = Cube({"rate": FloatDistribution(0.001, 0.1, log=True), "n": IntDistribution(1, 4)})
        >>> cube.decode(np.array([0.5, 0.9]))
        {'rate': 0.01, 'n': 4}
    """

    distributions: Mapping[str, BaseDistribution]

    def __len__(self) -> int:
        return len(self.distributions)

    def encode(self, params: Mapping[str, Any]) -> Vector:
        """Returns a point's vector."""
        return np.array([_to_unit(d, params[name]) for name, d in self.distributions.items()])

    def decode(self, vector: Vector) -> Params:
        """Returns the point of a vector; what lies outside the cube is moved onto its side."""
        inside = np.clip(vector, 0.0, 1.0)
        pairs = zip(self.distributions.items(), inside, strict=True)
        return {name: _from_unit(d, float(x)) for (name, d), x in pairs}


def _to_unit(d: BaseDistribution, value: Any) -> float:
    if isinstance(d, CategoricalDistribution):
        return (d.choices.index(value) + 0.5) / len(d.choices)
    low, high = _ends(d)
    x = math.log(value) if _log(d) else float(value)
    return (x - low) / (high - low) if high > low else 0.5


def _from_unit(d: BaseDistribution, x: float) -> Any:
    if isinstance(d, CategoricalDistribution):
        return d.choices[min(len(d.choices) - 1, int(x * len(d.choices)))]
    low, high = _ends(d)
    value = low + x * (high - low)
    value = math.exp(value) if _log(d) else value
    assert isinstance(d, FloatDistribution | IntDistribution)
    if isinstance(d, IntDistribution):
        return min(d.high, max(d.low, round(value)))
    return min(d.high, max(d.low, round(value, 15) if not d.log else float(f"{value:.12g}")))


def _ends(d: BaseDistribution) -> tuple[float, float]:
    """Returns the range; of whole numbers half a number more on both sides."""
    assert isinstance(d, FloatDistribution | IntDistribution)
    more = 0.5 if isinstance(d, IntDistribution) else 0.0
    low, high = d.low - more, d.high + more
    return (math.log(low), math.log(high)) if d.log else (low, high)


def _log(d: BaseDistribution) -> bool:
    return bool(getattr(d, "log", False))


def active(space: Searchable, point: Params) -> Cube:
    """Returns the settings of a point that may differ between members, and count in its structure."""
    fixed = space.structure(point)
    return Cube(
        {
            name: distribution
            for name, distribution in space.distributions.items()
            if name not in fixed and counts(space, point, name)
        }
    )


def best_first(history: Sequence[TrialResult]) -> list[int]:
    """Returns the places of the trials, best first; those that failed are left out.

    Who ran to the end comes before who was pruned, who was pruned later before who was sooner.
    """
    scored = [i for i, each in enumerate(history) if each.score is not None]

    def worse(place: int) -> tuple[float, float]:
        each = history[place]
        return -math.inf if each.rung is None else -each.rung, -(each.score or 0.0)

    return sorted(scored, key=worse)


def values_of(history: Sequence[TrialResult]) -> list[float]:
    """Returns a number for each trial, larger is better, that a model of scores can be told.

    Who ran to the end has its score. Who was pruned has its score there, but no more than the worst who
    ran to the end; who failed is as bad as the worst. What is further below the median than three times
    the best is above it counts as that far below: one that diverged would flatten all other differences.
    """
    scores = [each.score for each in history if each.score is not None]
    if not scores:
        return [0.0] * len(history)
    ended = [each.score for each in history if each.score is not None and each.rung is None]
    ceiling, worst = min(ended, default=math.inf), min(scores)
    found = [
        worst if t.score is None else t.score if t.rung is None else min(t.score, ceiling)
        for t in history
    ]
    middle = statistics.median(found)
    floor = middle - 3.0 * (max(found) - middle) if max(found) > middle else worst
    return [max(floor, value) for value in found]


def near(cube: Cube, vector: Vector, random: np.random.Generator, width: float) -> Vector:
    """Returns a vector near another, reflected at the cube's sides."""
    moved = np.abs(vector + width * random.normal(size=len(cube)))
    return np.clip(1.0 - np.abs(1.0 - moved), 0.0, 1.0)
