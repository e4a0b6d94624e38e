"""Settings of learners: near those that did best so far, others are tried.

A local search (as FLAML's: Wu, Wang and Huang, Frugal Optimization for Cost-related Hyperparameters,
AAAI 2021): every learner starts from settings that are known to be good, so that what is better is near.
Whose settings are varied goes by how good they are beside the others'; unlike ones stay in the race.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from pawl.ensembling.learners import try_together
from pawl.execution import Session
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe
from pawl.search import best_first
from pawl.search.space import distribution_of

_AT_ONCE = 4
_STEP, _CHANGED = 0.2, 0.5
"""Of a setting's range: the deviation of a step; and how likely a setting is changed."""
_KEPT = frozenset({"rounds", "trees", "patience"})
"""Settings that cost time or size alone, or that stopping early finds."""
_NEXT = 0.6
"""How likely settings of the next best learner are varied, beside those of one before it."""
_BEST_KINDS, _OF_A_KIND = 5, 2
"""Kinds that are varied, and of how many settings each may race."""
_DEAR = 0.25
"""Of the time there is: what takes longer is not varied."""
_PATIENCE = 32
"""Fits in a row without a better one of their kind after which there are no more."""
_DRAWS = 20


class Tuning:
    """Varies the settings of learners that were tried.

    Args:
        session: The campaign's.
        tried: Trials of learners with the settings they start from.
        folds: Fits of each.

    Attributes:
        trials: All that ended well, those tried before among them.
    """

    def __init__(self, session: Session, tried: Sequence[TrialRecord], folds: int = 1) -> None:
        self.trials = list(tried)
        self._session, self._folds = session, folds
        self._sign = session.problem.objective.sign
        self._known = {recipe.id for recipe in map(_recipe, tried)}
        self._rounds, self._waiting = 0, 0

    @property
    def over(self) -> bool:
        """Whether there is nothing to vary, or nothing was found for long."""
        return not self.trials or self._waiting >= _PATIENCE

    def run(self, *, deadline: float | None = None, count: int = 0) -> None:
        """Tries settings until a time of the ledger's clock, or so many.

        Args:
            deadline: Seconds since the campaign's start; what would end later is not begun.
            count: How many, where there is no deadline.
        """
        left = count
        while not self.over and (left > 0 or deadline is not None):
            key = f"learners/tuned/{self._rounds}"
            # One that nothing is left for counts, too: later there may be time again.
            self._rounds += 1
            window = self._session.ledger.decide(f"{key}/time", partial(self._left, deadline))
            chosen = self._proposals(
                window, _AT_ONCE if deadline is not None else min(left, _AT_ONCE)
            )
            if not chosen or self._session.cut_short(key):
                break
            left -= len(chosen)
            self._session.listener.phase("learners", "settings near the best so far")
            found = try_together(self._session, key, chosen, window, self._folds)
            better = self._noted(found)
            self._waiting = 0 if better else self._waiting + len(chosen)

    def _left(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(0.0, deadline - self._session.ledger.elapsed)

    def _noted(self, found: Sequence[TrialRecord]) -> bool:
        """Adds trials; tells whether one is better than all of its kind before."""
        best = self._best()
        self.trials += found
        return any(
            kind_of(trial) not in best
            or self._sign * (trial.score or 0.0) > self._sign * (best[kind_of(trial)].score or 0.0)
            for trial in best_first(found, self._sign)
        )

    def _best(self) -> dict[tuple[Any, ...], TrialRecord]:
        """Returns the best trial of each kind, best kind first."""
        found: dict[tuple[Any, ...], TrialRecord] = {}
        for trial in best_first(self.trials, self._sign):
            found.setdefault(kind_of(trial), trial)
        return found

    def _proposals(self, window: float | None, count: int) -> list[Recipe]:
        random = np.random.default_rng(self._session.rows.derive("tuning", len(self._known)))
        parents = [
            trial
            for trial in list(self._best().values())[:_BEST_KINDS]
            if window is None or trial.seconds < _DEAR * window
        ]
        found = list[Recipe]()
        for _ in range(_DRAWS * count if parents else 0):
            place = min(int(random.geometric(1.0 - _NEXT)) - 1, len(parents) - 1)
            recipe = neighbor(_recipe(parents[place]), random)
            if recipe.id not in self._known:
                self._known.add(recipe.id)
                found.append(recipe)
            if len(found) == count:
                break
        return found


def _recipe(trial: TrialRecord) -> Recipe:
    return Recipe.from_dict(trial.recipe)


def kind_of(trial: TrialRecord) -> tuple[Any, ...]:
    """Returns what stays where settings vary: the learner, and its settings that are no numbers."""
    learner = _recipe(trial).learner
    assert learner is not None
    settings = _recipe(trial).settings(learner.name).model_dump().items()
    return (learner.name, *(value for _, value in settings if isinstance(value, str)))


def unlike(trials: Sequence[TrialRecord], sign: float, count: int) -> list[Recipe]:
    """Returns learners that are good and unlike: the best of each kind, then the second best of each.

    What is blended gains by being unlike. Of a kind, settings with the same score are the same model:
    shares of few columns, say, that are as many columns.

    Args:
        trials: Of learners.
        sign: Of the objective: 1 where more is better.
        count: How many at most.
    """
    kinds: dict[tuple[Any, ...], dict[float | None, Recipe]] = {}
    for trial in best_first(trials, sign):
        kinds.setdefault(kind_of(trial), {}).setdefault(trial.score, _recipe(trial))
    each = [list(of_kind.values()) for of_kind in kinds.values()]
    places = [own[place] for place in range(_OF_A_KIND) for own in each if place < len(own)]
    return places[:count]


def neighbor(recipe: Recipe, random: np.random.Generator) -> Recipe:
    """Returns a learner's recipe with settings nearby: some of them, at least one, a step off.

    A step is normal, on the scale that the setting's range is searched on, and stays inside of it.

    Args:
        recipe: With a learner.
        random: What it is drawn by.
    """
    learner = recipe.learner
    assert learner is not None
    settings = recipe.settings(learner.name).model_dump()
    ranges = {
        name: distribution
        for name, field in learner.settings.model_fields.items()
        if name not in _KEPT
        and not isinstance(distribution := distribution_of(field), CategoricalDistribution | None)
    }
    if not ranges:
        return recipe
    names = list(ranges)
    changed = [name for name in names if random.random() < _CHANGED]
    for name in changed or [names[int(random.integers(len(names)))]]:
        settings[name] = _stepped(ranges[name], settings[name], float(random.normal()))
    return recipe.with_(learner.name, **settings)


def _stepped(within: Any, value: float, step: float) -> float | int:
    assert isinstance(within, IntDistribution | FloatDistribution)
    low, high = float(within.low), float(within.high)
    if within.log:
        moved = value * math.exp(_STEP * step * math.log(high / low))
    else:
        moved = value + _STEP * step * (high - low)
    moved = min(high, max(low, moved))
    return round(moved) if isinstance(within, IntDistribution) else float(f"{moved:.3g}")
