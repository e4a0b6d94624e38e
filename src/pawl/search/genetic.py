"""The genetic sampler: selection, crossover and mutation over recipes."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np

from pawl import rng
from pawl.search.cube import Cube, active, best_first, near
from pawl.search.edits import EditSampler
from pawl.search.grid import counts
from pawl.search.optuna_sampler import OptunaSampler, random_search
from pawl.search.protocols import Params, Searchable, TrialResult

_PARENTS = 16
_TOURNAMENT = 3
_MUTATED, _WIDTH = 0.5, 0.1
_EDITED = 0.7
_FEWEST = 4
_ATTEMPTS = 20


class GeneticSampler:
    """Proposes children of good recipes.

    The parents are the sixteen best of all trials so far, so that the best are never lost. A parent is
    the best of three drawn from them. A child takes each technique, with its settings, from one of its
    two parents, with equal chances; of settings that both have it takes either one's or, for numbers,
    something between and a little beyond the two. Then it mutates: with chance 0.7 its structure has
    one edit, and half of its settings move a little. Of a generation, whose members share a structure,
    the first is such a child, and the others are children that keep its structure and inherit settings.

    Args:
        space: What to sample from.
        seed: Of the generation.
        history: All trials so far, in the ledger's order.

    Reference:
        Holland, "Adaptation in Natural and Artificial Systems", 1975; Goldberg and Deb, "A Comparative
        Analysis of Selection Schemes", 1991, for tournaments; Eshelman and Schaffer, "Real-Coded Genetic
        Algorithms and Interval-Schemata", 1993, for numbers (BLX-alpha).
    """

    def __init__(self, space: Searchable, seed: int, history: Sequence[TrialResult]) -> None:
        self.space = space
        self._random = np.random.default_rng(rng.derive_seed("genetic", seed))
        self._parents = [history[i].params for i in best_first(history)[:_PARENTS]]
        self._tried = {space.effective(each.params) for each in history}
        self._edits = EditSampler(space, rng.derive_seed("genes", seed), history)
        self._seed = seed

    @functools.cached_property
    def _stock(self) -> OptunaSampler:
        return OptunaSampler(self.space, self._seed, (), make=random_search)

    def ask(self) -> Params:
        """Returns a child of two parents."""
        if len(self._parents) < _FEWEST:
            return self._stock.ask()
        child = self._child(self._selected(), self._selected())
        for _ in range(_ATTEMPTS):
            mutated = self._random.random() < _EDITED
            child = self._edits.edited(child) if mutated else child
            if self.space.effective(child) not in self._tried:
                break
            child = self._child(self._selected(), self._selected())
        return self._mutated(child, active(self.space, child))

    def members(self, point: Params, count: int) -> Iterator[Params]:
        """Yields children that have the structure of the point."""
        whole = {**self.space.start, **point}
        cube = active(self.space, whole)
        for _ in range(count):
            if len(self._parents) < _FEWEST:
                yield {**whole, **cube.decode(self._random.random(len(cube)))}
            else:
                first = self._selected() if not point else whole
                yield self._mutated(self._mixed(whole, first, self._selected(), cube), cube)

    def _selected(self) -> Params:
        """Returns the best of a few parents."""
        places = self._random.integers(len(self._parents), size=_TOURNAMENT)
        return self._parents[int(places.min())]

    def _child(self, first: Params, second: Params) -> Params:
        """Returns what takes each technique, with its settings, from one of two parents."""
        from_second: dict[str, bool] = {}
        child: Params = {}
        for name in self.space.distributions:
            gene = self.space.conditions.get(name, (name.partition(".")[0], None))[0]
            if gene not in from_second:
                from_second[gene] = bool(self._random.random() < 0.5)
            child[name] = (second if from_second[gene] else first)[name]
        return self._mixed(child, first, second, active(self.space, child))

    def _mixed(self, child: Params, first: Params, second: Params, cube: Cube) -> Params:
        """Returns the child; settings that both parents have are one's, or from around both
        (BLX-0.5)."""
        a, b = cube.encode(first), cube.encode(second)
        own = cube.encode(child)
        both = [
            counts(self.space, first, name) and counts(self.space, second, name)
            for name in cube.distributions
        ]
        low, high = np.minimum(a, b), np.maximum(a, b)
        more = 0.5 * (high - low)
        mixed = self._random.uniform(low - more, high + more)
        kept = self._random.random(len(cube))
        vector = np.where(kept < 0.5, mixed, np.where(kept < 0.75, a, b))
        vector = np.where(both, vector, own)
        return {**child, **cube.decode(vector)}

    def _mutated(self, child: Params, cube: Cube) -> Params:
        vector = cube.encode(child)
        moved = near(cube, vector, self._random, _WIDTH)
        chosen = self._random.random(len(cube)) < _MUTATED
        if len(cube) and not chosen.any():
            chosen[self._random.integers(len(cube))] = True
        return {**child, **cube.decode(np.where(chosen, moved, vector))}
