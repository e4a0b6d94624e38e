"""Grid search: every combination of a few values of each parameter, structure by structure.

A parameter of a technique counts only where the technique is in: a grid has one point for "out", and one
for each combination of its settings for "in". How many points there are is known before any is made.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from pawl.errors import TaskError, did_you_mean, option
from pawl.search.protocols import Params, Searchable, TrialResult

MOST_POINTS = 10_000
_VALUES = 3
_SHOWN = 6


class GridSampler:
    """Proposes the points of a grid that were not tried, each once, and then nothing.

    The grid has the values that the space was given (`Searchable.grids`; what is not named keeps the
    value of the start, and what is named is in), else three of each number, in the middle of thirds of
    its range (of its logarithm where it is searched so), and all of each choice.

    Args:
        space: What to sample from.
        seed: Changes nothing.
        history: All trials so far; pruned and failed ones were tried as well.

    Raises:
        TaskError: The grid has more than `MOST_POINTS` points.

    Example:
        >>> from pawl.functions.space import FunctionSpace
        >>> from pawl.task import FunctionTask
        >>> task = FunctionTask(train=print, settings={"a": (0.0, 3.0), "b": [1, 2]})
        >>> sampler = GridSampler(FunctionSpace(task), 0, [])
        >>> [point["a"] for point in sampler.members({}, 99)]
        [0.5, 0.5, 1.5, 1.5, 2.5, 2.5]
    """

    def __init__(self, space: Searchable, seed: int, history: Sequence[TrialResult]) -> None:
        del seed
        check_grid(space)
        self.space = space
        self._tried = {self._key(result.params) for result in history}

    def _key(self, point: Mapping[str, Any]) -> tuple[Any, ...]:
        """Identifies a point by what counts in it."""
        return tuple(
            (n, point[n]) for n in self.space.distributions if counts(self.space, point, n)
        )

    @functools.cached_property
    def _left(self) -> list[Params]:
        return [p for p in points(self.space) if self._key(p) not in self._tried]

    def ask(self) -> Params | None:
        """Returns the next point that was not tried; `None` if all were."""
        return next((p for p in self._left if self._key(p) not in self._tried), None)

    def members(self, point: Params, count: int) -> Iterator[Params]:
        """Yields the next points of a structure, at most `count`; the given one is not among them."""
        structure = self.space.structure(point)
        if set(point) == set(self.space.distributions):
            self._tried.add(self._key(point))
        for each in self._left:
            if count <= 0:
                return
            if self.space.structure(each) == structure and self._key(each) not in self._tried:
                self._tried.add(self._key(each))
                count -= 1
                yield each


def counts(space: Searchable, point: Mapping[str, Any], name: str) -> bool:
    """Tells whether a parameter counts in a point: its technique is in."""
    switch, value = space.conditions.get(name, (None, None))
    return switch is None or point[switch] == value


def check_grid(space: Searchable) -> None:
    """Refuses a grid of too many points, before any is made.

    Raises:
        TaskError: It has more than `MOST_POINTS`.
    """
    total = size(space)
    if total <= MOST_POINTS:
        return
    values = _values(space)
    widest = sorted(values, key=lambda name: -len(values[name]))[:_SHOWN]
    shown = ", ".join(f"{name} ({len(values[name])})" for name in widest)
    many = f"{total:,}" if total < 10**15 else f"about 10^{len(str(total)) - 1}"
    raise TaskError(
        f"the grid over {len(values)} parameters has {many} points, of {shown}, ...; at most "
        f"{MOST_POINTS:,} are allowed: name what may vary with {option('only')}, or give values, as in "
        f"{option('grid', f'{next(iter(values))}={_given(next(iter(values.values())))}')}"
    )


def size(space: Searchable) -> int:
    """Returns how many points the grid has, those that exclude each other counted as well."""
    values = _values(space)
    by_switch: dict[tuple[str, Any], int] = {}
    total = 1
    for name, each in values.items():
        if name in space.conditions:
            condition = space.conditions[name]
            by_switch[condition] = by_switch.get(condition, 1) * len(each)
    switches = {name for name, _ in space.conditions.values()}
    for name, each in values.items():
        if name in switches:
            total *= sum(by_switch.get((name, value), 1) for value in each)
        elif name not in space.conditions:
            total *= len(each)
    return total


def points(space: Searchable) -> list[Params]:
    """Returns the grid's points, those of a structure one after the other."""
    values = _values(space)
    free = [name for name in values if name not in space.conditions]
    found: list[Params] = []
    for chosen in itertools.product(*(values[name] for name in free)):
        base = {**space.start, **dict(zip(free, chosen, strict=True))}
        own = [n for n in values if n in space.conditions and counts(space, base, n)]
        found += [
            {**base, **dict(zip(own, each, strict=True))}
            for each in itertools.product(*(values[name] for name in own))
        ]
    places: dict[str, int] = {}
    for point in found:
        places.setdefault(repr(space.structure(point)), len(places))
    return sorted(found, key=lambda point: places[repr(space.structure(point))])


def _values(space: Searchable) -> dict[str, list[Any]]:
    """Returns the grid's values by parameter; those of switches whose settings are named are "in"."""
    if not space.grids:
        return {name: coarse(each) for name, each in space.distributions.items()}
    values = {name: list(each) for name, each in space.grids.items()}
    for name in space.grids:
        switch, value = space.conditions.get(name, (None, None))
        if switch is not None and switch not in space.grids:
            others = [value, *values.get(switch, [])]
            values[switch] = list(dict.fromkeys(others))
    return values


def coarse(distribution: BaseDistribution, count: int = _VALUES) -> list[Any]:
    """Returns all choices, or the middles of `count` equal parts of a range, rounded where they must be.

    Example:
        >>> coarse(FloatDistribution(0.01, 10.0, log=True))
        [0.0316..., 0.316..., 3.16...]
        >>> coarse(IntDistribution(1, 2))
        [1, 2]
    """
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        low, high = math.log(low), math.log(high)
    middles = [low + (high - low) * (i + 0.5) / count for i in range(count)]
    found = [math.exp(x) if distribution.log else x for x in middles]
    if isinstance(distribution, IntDistribution):
        return list(dict.fromkeys(round(x) for x in found))
    return found


def grid_values(
    given: Sequence[str], distributions: Mapping[str, BaseDistribution]
) -> dict[str, list[Any]]:
    """Returns the values of a grid by parameter, read of texts such as `adamw.learning_rate=0.001,0.01`.

    Raises:
        TaskError: A text has another form, a parameter is not searched, or a value is not allowed.
    """
    found: dict[str, list[Any]] = {}
    for text in given:
        name, separator, values = text.partition("=")
        name = name.strip()
        if not separator or not values.strip():
            raise TaskError(
                f"got the grid {text!r}; give a parameter and its values, as in "
                f"{next(iter(distributions), 'rate')}=0.1,0.2"
            )
        if name not in distributions:
            raise TaskError(
                f"got a grid of {name!r}{did_you_mean(name, distributions)}; what is searched here is "
                f"{', '.join(list(distributions)[:40])}{', ...' if len(distributions) > 40 else ''}"
            )
        found[name] = list(
            dict.fromkeys(
                _read(name, each.strip(), distributions[name]) for each in values.split(",")
            )
        )
    return found


def _read(name: str, text: str, distribution: BaseDistribution) -> Any:
    """Returns the value that a text stands for."""
    if isinstance(distribution, CategoricalDistribution):
        by_text = {str(choice).lower(): choice for choice in distribution.choices}
        if text.lower() in by_text:
            return by_text[text.lower()]
        raise TaskError(f"got {name}={text!r}; allowed are {', '.join(by_text)}")
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    try:
        value = int(text) if isinstance(distribution, IntDistribution) else float(text)
    except ValueError:
        value = math.nan
    if not distribution.low <= value <= distribution.high:
        kind = "whole numbers" if isinstance(distribution, IntDistribution) else "numbers"
        raise TaskError(
            f"got {name}={text!r}; allowed are {kind} from {distribution.low:g} to "
            f"{distribution.high:g}"
        )
    return value


def _given(values: Sequence[Any]) -> str:
    return ",".join(f"{x:.3g}" if isinstance(x, float) else str(x) for x in values)
