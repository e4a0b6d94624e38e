"""Gaussian process and CMA-ES: samplers of numbers, within one structure at a time.

Both model settings as coordinates, which a structure is not. So structures come as in `edits`: half of
the generations are the best structure again, whose model is then told more, the others a few edits of
good recipes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import optuna
from optuna.samplers import GPSampler, RandomSampler

from pawl import rng
from pawl.search.cube import Cube, Vector, active, best_first, near, values_of
from pawl.search.edits import EditSampler
from pawl.search.protocols import Params, Searchable, TrialResult

_AGAIN_SHARE = 0.5
_FEWEST = 8
_WIDTH = 0.15
_SIGMA = 0.25

Proposer = Callable[[Cube, Params, Sequence[TrialResult], int], Iterator[Params]]
"""Yields settings without end, given what may vary, a point to start from, trials and a seed."""


class NumericSampler:
    """Proposes settings by a model of numbers, for structures that come from edits of good ones.

    Args:
        space: What to sample from.
        seed: Of the generation.
        history: All trials so far, in the ledger's order.
        propose: The model.
    """

    def __init__(
        self,
        space: Searchable,
        seed: int,
        history: Sequence[TrialResult],
        *,
        propose: Proposer,
    ) -> None:
        self.space, self._history, self._propose = space, history, propose
        self._seed = seed
        self._drawn: dict[str, Iterator[Params]] = {}

    def ask(self) -> Params:
        """Returns a point of the best structure, or of a new one."""
        ended = [each for each in self._history if each.score is not None and each.rung is None]
        best = max(ended, key=lambda each: each.score or 0.0, default=None)
        again = np.random.default_rng(rng.derive_seed("again", self._seed)).random() < _AGAIN_SHARE
        if not self.space.structure(self.space.start):
            return self._next(self.space.start)
        if best is not None and again:
            return self._next(dict(best.params))
        return EditSampler(self.space, self._seed, self._history).changed()

    def members(self, point: Params, count: int) -> Iterator[Params]:
        """Yields points of the structure by the model."""
        for _ in range(count):
            yield self._next({**self.space.start, **point})

    def _next(self, point: Params) -> Params:
        structure = self.space.effective(point)
        if structure not in self._drawn:
            own = [t for t in self._history if self.space.effective(t.params) == structure]
            seed = rng.derive_seed("settings", self._seed, structure)
            self._drawn[structure] = self._propose(active(self.space, point), point, own, seed)
        return {**point, **next(self._drawn[structure])}


def gaussian_process(
    cube: Cube, start: Params, history: Sequence[TrialResult], seed: int
) -> Iterator[Params]:
    """Yields settings of the greatest expected improvement by a Gaussian process of scores.

    The process has a Matérn 5/2 kernel and a length scale for each setting; trials that were pruned
    count as no better than the worst that was not (`values_of`). Settings that were proposed and have no
    score yet are taken into account (the expected improvement of a batch). With fewer than eight
    trials, settings come in turn from near the start and from anywhere.

    Reference: Ament et al., "Unexpected Improvements to Expected Improvement", NeurIPS 2023; the process
    and its maximization are Optuna's (`GPSampler`).
    """
    random = np.random.default_rng(seed)
    if not len(cube):
        while True:
            yield {}
    if len(history) < _FEWEST:
        yield from _around(cube, cube.encode(start), random)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = dict(cube.distributions)
    study = optuna.create_study(direction="maximize")
    for result, value in zip(history, values_of(history), strict=True):
        study.add_trial(
            optuna.trial.create_trial(
                params={name: result.params[name] for name in distributions},
                distributions=distributions,
                value=value,
            )
        )
    asked = 0
    while True:
        own = rng.derive_seed(seed, asked)
        asked += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.sampler = GPSampler(
                seed=own, n_startup_trials=1, independent_sampler=RandomSampler(seed=own),
                warn_independent_sampling=False,
            )  # fmt: skip
            yield dict(study.ask(distributions).params)


def _around(cube: Cube, start: Vector, random: np.random.Generator) -> Iterator[Params]:
    """Yields settings near the start and from anywhere, in turn."""
    while True:
        yield cube.decode(near(cube, start, random, _WIDTH))
        yield cube.decode(random.random(len(cube)))


def cma_es(
    cube: Cube, start: Params, history: Sequence[TrialResult], seed: int
) -> Iterator[Params]:
    """Yields settings from a normal distribution whose mean, width and covariance follow the best.

    The distribution is not kept: it starts at the structure's first trial (at `start` if there is
    none) and is told the trials of the structure in the ledger's order, ranked among as many as its
    population has.

    Reference: Hansen, "The CMA Evolution Strategy: A Tutorial", 2016; the package `cmaes`.
    """
    from cmaes import CMA  # noqa: PLC0415  (slow to import)

    if not len(cube):
        while True:
            yield {}
    first = history[0].params if history else start
    extra = int(len(cube) == 1)  # it needs two dimensions; the second one then says nothing
    mean = np.append(cube.encode(first), [0.5] * extra)
    bounds = np.array([[0.0, 1.0]] * len(mean))
    strategy = CMA(mean=mean, sigma=_SIGMA, bounds=bounds, seed=seed)
    size = strategy.population_size
    for begin in range(0, len(history) - size + 1, size):
        chunk = history[begin : begin + size]
        ranks = {place: -rank for rank, place in enumerate(best_first(chunk))}
        values = [ranks.get(place, -size) for place in range(size)]
        vectors = [np.append(cube.encode(each.params), [0.5] * extra) for each in chunk]
        strategy.tell([(x, -value) for x, value in zip(vectors, values, strict=True)])
        if strategy.should_stop():  # it has narrowed to a point: around the best, it begins again
            best = vectors[int(np.argmax(values))]
            strategy = CMA(mean=best, sigma=_SIGMA, bounds=bounds, seed=seed)
    while True:
        yield cube.decode(strategy.ask()[: len(cube)])
