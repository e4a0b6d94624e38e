"""Which settings and techniques set the best trials of a search apart from the others (PED-ANOVA)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from pawl.search.cube import Cube, Vector, values_of
from pawl.search.grid import counts
from pawl.search.protocols import Searchable, TrialResult

FEWEST = 30
"""Trials with a score, below which nothing is said."""
_TOP_SHARE, _FEWEST_TOP, _FEWEST_HERE = 0.1, 5, 15
_BINS = 6
_SHUFFLES = 999


@dataclass(frozen=True)
class Importance:
    """What a parameter has to do with being among the best.

    Attributes:
        name: The parameter.
        value: Pearson divergence of its values among the best trials from those among all, 0 or more.
        p_value: Share of shufflings of the scores that give as much.
        trials: Trials in which it counted.
        best: How many of them are among the best.
        likely: The value that is more frequent among the best than among all by most; of a number the
            middle of its interval.
    """

    name: str
    value: float
    p_value: float
    trials: int
    best: int
    likely: Any


def importances(
    space: Searchable, history: Sequence[TrialResult], seed: int = 0
) -> list[Importance]:
    """Returns the importance of each parameter that varied, largest first; none of few trials.

    With `q` the distribution of a parameter's values among all trials and `p` that among the best tenth
    (at least five), the importance is the Pearson divergence `sum q (p / q - 1) ** 2`: 0 where the best
    have values like all others. Values are counted in six intervals of the range (of its logarithm),
    or by choice, with one more trial spread over all as a prior. A setting of a technique is judged
    among the trials that have the technique. The p-value is of a test by 999 permutations of the scores.

    It says what goes together in the trials that a search chose to make, which is no proof of a cause.

    Args:
        space: What was searched.
        history: Its trials; pruned ones count as no better than the worst that ended.
        seed: Of the permutations.

    Reference:
        Watanabe et al., "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
        Subspaces", IJCAI 2023 (there with kernel density estimates in place of intervals).
    """
    scored = [each for each in history if each.score is not None]
    if len(scored) < FEWEST:
        return []
    best = _best(values_of(scored))
    random = np.random.default_rng(seed)
    found = []
    for name, distribution in space.distributions.items():
        here = [
            i for i, each in enumerate(scored)
            if name in each.params and counts(space, _whole(space, each), name)
        ]  # fmt: skip
        values = [scored[i].params[name] for i in here]
        top = best[here]
        if len(set(values)) < 2 or len(here) < _FEWEST_HERE or not 2 <= top.sum() < len(here):
            continue
        cells, likely = _cells(name, distribution, values)
        shuffled = np.array([random.permutation(top) for _ in range(_SHUFFLES)])
        value = float(_divergence(top[None], cells)[0])
        as_much = int((_divergence(shuffled, cells) >= value - 1e-12).sum())
        found.append(
            Importance(
                name=name, value=value, p_value=(1 + as_much) / (1 + _SHUFFLES), trials=len(here),
                best=int(top.sum()), likely=likely[_richest(top, cells)],
            )
        )  # fmt: skip
    return sorted(found, key=lambda each: -each.value)


def _whole(space: Searchable, trial: TrialResult) -> Mapping[str, Any]:
    return {**space.start, **trial.params}


def _best(values: Sequence[float]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Returns which trials are the best tenth, at least five."""
    count = max(_FEWEST_TOP, math.ceil(_TOP_SHARE * len(values)))
    order = np.argsort([-value for value in values], kind="stable")
    found = np.zeros(len(values), dtype=bool)
    found[order[:count]] = True
    return found


def _cells(
    name: str, distribution: BaseDistribution, values: Sequence[Any]
) -> tuple[Vector, list[Any]]:
    """Returns in which cell each value is, `[trials, cells]` of 0 and 1, and a value for each cell."""
    cube = Cube({name: distribution})
    choices = isinstance(distribution, CategoricalDistribution)
    count = (
        len(distribution.choices) if isinstance(distribution, CategoricalDistribution) else _BINS
    )
    places = [min(count - 1, int(cube.encode({name: value})[0] * count)) for value in values]
    middles = [cube.decode(np.array([(i + 0.5) / count]))[name] for i in range(count)]
    return np.eye(count)[places], list(distribution.choices) if choices else middles  # type: ignore[attr-defined]


def _shares(top: np.ndarray[Any, Any], cells: Vector) -> tuple[Vector, Vector]:
    """Returns the distribution over cells among the best, `[..., cells]`, and among all."""
    prior = 1.0 / cells.shape[1]
    among_best = (top @ cells + prior) / (top.sum(-1, keepdims=True) + 1.0)
    return among_best, (cells.sum(0) + prior) / (len(cells) + 1.0)


def _divergence(top: np.ndarray[Any, Any], cells: Vector) -> Vector:
    p, q = _shares(top.astype(float), cells)
    return np.asarray((q * (p / q - 1.0) ** 2).sum(-1))


def _richest(top: np.ndarray[Any, Any], cells: Vector) -> int:
    p, q = _shares(top.astype(float), cells)
    return int(np.argmax(p - q))
