"""From what raced to what is confirmed: blends of several sizes, then the best recipe alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from pawl.ensembling.calibrating import calibrated
from pawl.ensembling.combiners import COMBINERS
from pawl.ensembling.cycles import snapshots
from pawl.ensembling.out_of_fold import OutOfFold
from pawl.ensembling.stacking import corrected
from pawl.evidence import Arm, Blend, Pairs, Single
from pawl.options import Ensemble
from pawl.recipe import Recipe

_SIZES = (8, 5, 4, 3, 2)
_ENTRANTS = ((100, 4), (500, 8), (2500, 15), (10_000, 40), (100_000, 100))
"""How many models may be chosen from, by rows to choose on, as AutoGluon has it: few rows overfit."""
_LEAST_SHARE = 0.08


def candidates(
    racing: Pairs | None, recipes: Sequence[Recipe], ensemble: Ensemble = "auto"
) -> list[Arm]:
    """Returns what to confirm, best first; what comes later trains in less time.

    A blend of networks alone comes behind the best recipe, whose copies a bundle averages too, and which
    is as good then (`benchmarks/results/ensembles.json`), unless it is asked for.

    Args:
        racing: Where the recipes raced; `None` if they did not.
        recipes: Those that raced, at least one.
        ensemble: Which combiner blends; `auto` is the best of them by out-of-fold score, `none`
            none; `stacked` is `linear`, corrected by trees where that helps, `snapshots` is `greedy` of
            those alone that are one training's.
    """
    if racing is None:
        return [Single(recipes[0])]
    singles: list[Arm] = [
        Single(recipe) for recipe in sorted(recipes, key=racing.mean, reverse=True)
    ]
    found = None if ensemble == "none" else OutOfFold.of(racing, recipes)
    if found is None:
        return singles
    arms: list[Arm] = []
    for size in _SIZES:
        if not arms or size < len(arms[-1].trainings):
            arms.append(_best(found, ensemble, size))
    if ensemble == "auto" and not any(recipe.learner for recipe in recipes):
        arms = [calibrated(found, singles[0]), *arms]
    return list({arm.id: arm for arm in (*arms, *singles)}.values())


def _best(found: OutOfFold, ensemble: str, size: int) -> Arm:
    """Returns the blend of at most so many recipes that scores best out of fold, calibrated."""
    if ensemble == "stacked":
        blend = blend_of(found, "linear", size)
        arm = corrected(found, blend)
        return calibrated(found, blend) if arm == blend else arm
    arms: list[Arm]
    if ensemble == "snapshots":
        mine = [recipe for recipe in found.recipes if recipe in snapshots(recipe)]
        arms = [blend_of(found.only(mine), "greedy", size)] if mine else []
        arms.append(Single(found.recipes[0]))
    else:
        names = list(COMBINERS) if ensemble == "auto" else [ensemble]
        arms = [blend_of(found, name, size) for name in names]
    return calibrated(found, max(arms, key=lambda arm: float(found.score(found.of_arm(arm)))))


def blend_of(found: OutOfFold, combiner: str, most: int) -> Arm:
    """Returns the blend that a combiner makes of out-of-fold predictions.

    Args:
        found: The predictions.
        combiner: Its name, one of `COMBINERS`.
        most: Most recipes of the blend; of few rows few may enter at all.
    """
    predictions = found.predictions[: _entrants(found.targets.shape[1])]
    weights = COMBINERS[combiner](predictions, found.score, found.loss, most)
    return _arm(
        [
            (recipe, float(weight))
            for recipe, weight in zip(found.recipes, weights, strict=False)
            if weight >= _LEAST_SHARE
        ]
    )


def _arm(chosen: Sequence[tuple[Recipe, float]]) -> Arm:
    if len(chosen) == 1:
        return Single(chosen[0][0])
    total = sum(weight for _, weight in chosen)
    return Blend(
        tuple(recipe for recipe, _ in chosen), tuple(weight / total for _, weight in chosen)
    )


def _entrants(rows: int) -> int:
    """Returns how many models may be chosen from on so many rows."""
    (low, fewest), *_ = _ENTRANTS
    if rows <= low:
        return fewest
    for (start, few), (end, many) in pairwise(_ENTRANTS):
        if rows <= end:
            share = math.log(rows / start) / math.log(end / start)
            return round(float(few * (many / few) ** share))
    return many
