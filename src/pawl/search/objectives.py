"""Several objectives: what a trial is worth by a trade-off, another in each generation, and fronts.

Samplers know one score. So each generation has its own weights of the objectives, and its sampler is
told what every trial is worth by them: over the generations the whole front is searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy

from pawl.search.costs import Cost
from pawl.search.protocols import TrialResult

_SUM_SHARE = 0.05


def values_by(names: Sequence[str], score: float, cost: Cost) -> list[float]:
    """Returns a trial's objectives, larger is better.

    `latency` is by the operations of a row, and `size` by the number of weights, on a log scale.
    """
    every = {
        "score": score,
        "latency": -float(np.log1p(cost.operations)),
        "size": -float(np.log1p(cost.parameters)),
    }
    return [every[name] for name in names]


def scalarized(
    names: Sequence[str],
    history: Sequence[TrialResult],
    costs: Sequence[Cost | None],
    seed: int,
) -> list[TrialResult]:
    """Returns the trials with the worth of their objectives, by weights that the seed decides, as score.

    With `u` a trial's objectives as ranks in [0, 1], 1 the best, and weights `w` from the simplex, the
    worth is `-max w (1 - u) - 0.05 sum w (1 - u)`, the augmented Chebyshev function of ParEGO. The
    score has at least a third of the weight: a front of tiny networks that have learned nothing helps
    nobody.

    Args:
        names: The objectives.
        history: Trials with scores, larger is better.
        costs: Theirs; `None` of those that were not trained.
        seed: Of the generation.

    Reference:
        Knowles, "ParEGO: A Hybrid Algorithm With On-Line Landscape Approximation for Expensive
        Multiobjective Optimization Problems", 2006 (there on scaled values in place of ranks).
    """
    known = [i for i, t in enumerate(history) if t.score is not None and costs[i] is not None]
    if not known or len(names) < 2:
        return list(history)
    table = np.array(
        [values_by(names, history[i].score or 0.0, costs[i]) for i in known]  # type: ignore[arg-type]
    )
    ranks = np.stack([scipy.stats.rankdata(column) for column in table.T], axis=1)
    missed = 1.0 - (ranks - 1.0) / max(1, len(known) - 1)
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(names)))
    place = names.index("score")
    weights = 2.0 / 3.0 * weights + np.eye(len(names))[place] / 3.0
    worth = -(weights * missed).max(axis=1) - _SUM_SHARE * (weights * missed).sum(axis=1)
    found = list(history)
    for i, value in zip(known, worth, strict=True):
        found[i] = replace(history[i], score=float(value))
    return found


def front(points: Sequence[Sequence[float]]) -> list[int]:
    """Returns the places of the points that no other is at least as good as in all, and better in one.

    Of equal points the first counts. Larger is better.

    Example:
        >>> front([(1.0, 1.0), (2.0, 0.0), (0.5, 0.5), (2.0, 0.0)])
        [0, 1]
    """
    found = []
    for i, mine in enumerate(points):
        beaten = any(
            all(a >= b for a, b in zip(other, mine, strict=True))
            and (list(other) != list(mine) or j < i)
            for j, other in enumerate(points)
            if j != i
        )
        if not beaten:
            found.append(i)
    return found
