"""What a generation tries: its structure, and the points in it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from pawl.execution import Session
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe
from pawl.search.ranking import best_trial
from pawl.search.sampler import Sampler
from pawl.search.space import Params, Space

_JITTER = 0.5
_JITTERED_SHARE = 0.5


def propose_structure(
    session: Session,
    space: Space,
    sampler: Sampler,
    known: Sequence[Recipe],
    trials: Sequence[TrialRecord],
    generation: int,
) -> tuple[str, Params | None, Params]:
    """Returns where a generation's structure comes from, its first point if given, its structure."""
    if generation < len(known):
        point = space.params(known[generation])
        return "known recipe", point, space.structure(point)
    best = best_trial(trials, session.problem.objective.sign)
    if best is not None and generation % 2 == 0:
        generator = np.random.default_rng(session.rows.derive("neighbor", generation))
        tried = {Recipe.from_dict(trial.recipe).structure for trial in trials}
        point = _changed(space, best.extra["params"], generator, tried)
        return "neighbor of the best", point, space.structure(point)
    return "sampler", None, sampler.ask_structure()


def _changed(
    space: Space, params: Params, generator: np.random.Generator, tried: Collection[str]
) -> Params:
    """Returns a point with one structural parameter changed, and a structure that is not among `tried`.

    One that is tried already comes back only where no other is found.
    """
    names, again = sorted(space.structural), params
    before = space.recipe(params).structure
    for _ in range(100):
        name = names[generator.integers(len(names))]
        distribution = space.distributions[name]
        if isinstance(distribution, CategoricalDistribution):
            value = distribution.choices[generator.integers(len(distribution.choices))]
        elif isinstance(distribution, IntDistribution):
            value = int(generator.integers(distribution.low, distribution.high + 1))
        else:
            continue
        point = {**params, name: value}
        structure = space.recipe(point).structure
        if structure not in tried:
            return point
        if structure != before:
            again = point
    return again


def points(
    session: Session,
    space: Space,
    sampler: Sampler,
    first: Params | None,
    structure: Params,
    count: int,
) -> Iterator[Params]:
    """Yields a generation's points: the given one, some around it, then the sampler's."""
    done = 0
    if first is not None:
        yield first
        generator = np.random.default_rng(session.rows.derive("jitter", str(sorted(first.items()))))
        near = math.ceil(_JITTERED_SHARE * (count - 1))
        for _ in range(near):
            yield _jittered(space, first, generator)
        done = 1 + near
    for start in range(done, count, 8):
        yield from sampler.ask_members(structure, min(8, count - start))


def _jittered(space: Space, params: Params, generator: np.random.Generator) -> Params:
    """Returns a point near another in the memberwise settings: a factor on log scales."""
    point = dict(params)
    for name, distribution in space.distributions.items():
        if name in space.structural:
            continue
        if isinstance(distribution, FloatDistribution):
            low, high, value = distribution.low, distribution.high, float(params[name])
            if distribution.log:
                span = math.log(high / low)
                value *= math.exp(generator.normal() * min(2 * _JITTER, _JITTER * span / 3))
            else:
                value += generator.normal() * _JITTER * (high - low) / 4
            point[name] = min(high, max(low, value))
        elif isinstance(distribution, IntDistribution):
            shift = round(generator.normal() * (distribution.high - distribution.low) / 8)
            point[name] = min(distribution.high, max(distribution.low, int(params[name]) + shift))
    return point
