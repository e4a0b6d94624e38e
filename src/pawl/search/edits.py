"""The default sampler: a few edits of good recipes; settings from near theirs, and from TPE.

A sampler that draws whole recipes switches on half of the techniques that there are. This one keeps
what has proved good and edits it: what comes in one generation is judged beside what it came from.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from pawl import rng
from pawl.search.optuna_sampler import OptunaSampler, tpe
from pawl.search.protocols import Params, Searchable, TrialResult

_BASES = 5
_AGAIN_SHARE = 1 / 3
_BEST_SHARE = 0.5
_MOST_EDITS = 4
_BORROWED_SHARE = 0.5
_JITTERED_SHARE, _JITTER = 0.5, 0.5
_ATTEMPTS = 50

Edit = tuple[str, object]
"""A structural parameter and its new value."""


class EditSampler:
    """Proposes few edits of good recipes, and settings around theirs or from TPE.

    A third of the points are near the best one so far, whose structure then has more settings tried. Of
    the others, half are the best one with one edit, half one of the five best structures, the k-th with
    a chance in proportion to `1 / k`, with one edit, and with chance 1/2 each up to three more; half of
    those are borrowed from another of the five. An edit brings a technique in, takes one out or changes
    one, with equal chances where there are such, and which one by the space's weights. What comes in has
    the settings of the start, or of the recipe that it is borrowed from: those that a point carries for
    what is out were never judged. What edits give was not tried before, if anything is left. Of a
    generation's members, half are near its first point, the others are TPE's. With nothing to edit,
    points are TPE's.

    Args:
        space: What to sample from.
        seed: Of the generation.
        history: All trials so far, in the ledger's order.

    Reference:
        Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019, for
        mutation of the best; Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS
        2011, for TPE.
    """

    def __init__(self, space: Searchable, seed: int, history: Sequence[TrialResult]) -> None:
        self.space = space
        self._history = history
        self._random = np.random.default_rng(rng.derive_seed("edits", seed))
        self._seed = seed
        self._known: dict[tuple[object, ...], str] = {}

    @functools.cached_property
    def _tpe(self) -> OptunaSampler:
        return OptunaSampler(self.space, self._seed, self._history, make=tpe)

    def _effective(self, params: Params) -> str:
        """Returns what a point's structure does; of thousands of trials there are few structures."""
        key = tuple(self.space.structure(params).values())
        if key not in self._known:
            self._known[key] = self.space.effective(params)
        return self._known[key]

    @functools.cached_property
    def _bases(self) -> list[Params]:
        """The best point of each of the best structures, best first."""
        ended = [each for each in self._history if each.score is not None and each.rung is None]
        ended.sort(key=lambda each: -(each.score or 0.0))
        found: dict[str, Params] = {}
        for each in ended:
            found.setdefault(self._effective(each.params), each.params)
            if len(found) == _BASES:
                break
        return list(found.values())

    @property
    def _can_edit(self) -> bool:
        return bool(self._bases and self.space.structure(self._bases[0]))

    def ask(self) -> Params:
        """Returns a point near the best one, or a good one with a few edits."""
        if self._can_edit and self._random.random() < _AGAIN_SHARE:
            return self._near(self._bases[0])
        return self.changed()

    def changed(self) -> Params:
        """Returns a good point with a few edits."""
        if not self._can_edit:
            return self._tpe.ask()
        tried = {self._effective(each.params) for each in self._history}
        again = self._bases[0]
        for _ in range(_ATTEMPTS):
            if self._random.random() < _BEST_SHARE:
                base = self._bases[0]
                point = self._edited(base, [])
            else:
                chances = 1 / np.arange(1, len(self._bases) + 1)
                place = int(self._random.choice(len(self._bases), p=chances / chances.sum()))
                base = self._bases[place]
                others = [*self._bases[:place], *self._bases[place + 1 :]]
                point = self._edited(base, others)
                for _ in range(_MOST_EDITS - 1):
                    if self._random.random() < 0.5:
                        break
                    point = self._edited(point, others)
            effective = self._effective(point)
            if effective not in tried:
                return point
            if effective != self._effective(base):
                again = point
        return again

    def edited(self, point: Params) -> Params:
        """Returns a point with one edit of its structure; without a structure, the point itself."""
        return self._edited(point, [])

    def _edited(self, point: Params, others: Collection[Params]) -> Params:
        """Returns the point with one edit, maybe one that another of the good points has."""
        if others and self._random.random() < _BORROWED_SHARE:
            other = list(others)[self._random.integers(len(others))]
            theirs = self.space.structure(other)
            edits = [(name, value) for name, value in theirs.items() if value != point[name]]
            found = self._chosen(point, edits, other)
            if found is not None:
                return found
        edits = [
            (name, value)
            for name in self.space.structure(point)
            for value in self._values(name, point[name])
        ]
        return self._chosen(point, edits, self.space.start) or point

    def _values(self, name: str, present: object) -> list[object]:
        """Returns the other values of a structural parameter; of many whole numbers one by chance."""
        distribution = self.space.distributions[name]
        if isinstance(distribution, CategoricalDistribution):
            return [value for value in distribution.choices if value != present]
        if isinstance(distribution, IntDistribution):
            value = int(self._random.integers(distribution.low, distribution.high + 1))
            return [] if value == present else [value]
        assert isinstance(distribution, FloatDistribution)
        return [self._moved(distribution, float(str(present)))]

    def _chosen(self, point: Params, edits: Sequence[Edit], source: Params) -> Params | None:
        """Returns the point with one of the edits that change what it does, or `None`.

        What comes in has the settings that it has in `source`.

        Each sort of edit has the same chance; within one, parameters and then their values have chances
        in proportion to the space's weights, a parameter to that of its best value.
        """
        before = self._effective(point)
        sorts: dict[str, dict[str, list[object]]] = {}
        for name, value in edits:
            out = self.space.off.get(name, point)  # a point is no value
            sort = "in" if point[name] == out else "out" if value == out else "changed"
            sorts.setdefault(sort, {}).setdefault(name, []).append(value)
        while sorts:
            sort = self._one_of(sorted(sorts))
            name = self._weighed(sorts[sort])
            values = sorts[sort][name]
            value = values.pop(self._place(name, values))
            edited = {**point, name: value, **self._settings(name, value, source)}
            if self._effective(edited) != before:
                return edited
            if not values:
                del sorts[sort][name]
            if not sorts[sort]:
                del sorts[sort]
        return None

    def _settings(self, name: str, value: object, source: Params) -> Params:
        """Returns the settings of what a parameter's value brings in, from another point."""
        return {
            key: source[key] for key, of in self.space.conditions.items() if of == (name, value)
        }

    def _one_of(self, names: Sequence[str]) -> str:
        return names[int(self._random.integers(len(names)))]

    def _weighed(self, edits: Mapping[str, Sequence[object]]) -> str:
        """Returns one of the parameters, by the weight of the best of its values."""
        names = sorted(edits)
        weights = [max(self.space.weight(name, value) for value in edits[name]) for name in names]
        return names[self._at(weights)]

    def _place(self, name: str, values: Sequence[object]) -> int:
        """Returns the place of one of a parameter's values, by weight."""
        return self._at([self.space.weight(name, value) for value in values])

    def _at(self, weights: Sequence[float]) -> int:
        chances = np.asarray(weights) / sum(weights)
        return int(self._random.choice(len(chances), p=chances))

    def members(self, point: Params, count: int) -> Iterator[Params]:
        """Yields points around a given one, then TPE's of its structure."""
        whole = set(point) == set(self.space.distributions)
        near = math.ceil(_JITTERED_SHARE * count) if whole and point else 0
        yield from (self._near(point) for _ in range(near))
        yield from itertools.islice(self._tpe.members(point, count), count - near)

    def _near(self, point: Params) -> Params:
        """Returns a point near another in the memberwise settings: a factor on log scales."""
        structure = self.space.structure(point)
        found = dict(point)
        for name, distribution in self.space.distributions.items():
            if name in structure:
                continue
            if isinstance(distribution, FloatDistribution):
                found[name] = self._moved(distribution, float(point[name]))
            elif isinstance(distribution, IntDistribution):
                width = distribution.high - distribution.low
                value = int(point[name]) + round(self._random.normal() * width / 8)
                found[name] = min(distribution.high, max(distribution.low, value))
        return found

    def _moved(self, distribution: FloatDistribution, value: float) -> float:
        low, high = distribution.low, distribution.high
        if distribution.log:
            span = math.log(high / low)
            value *= math.exp(self._random.normal() * min(2 * _JITTER, _JITTER * span / 3))
        else:
            value += self._random.normal() * _JITTER * (high - low) / 4
        return float(min(high, max(low, value)))
