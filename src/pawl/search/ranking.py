"""The best recipes of a search, and who races."""

from __future__ import annotations

from collections.abc import Sequence

from pawl.ledger import TrialRecord
from pawl.recipe import Recipe

_MANY_PLACES = 4


def ranked(trials: Sequence[TrialRecord], sign: float, count: int) -> list[Recipe]:
    """Returns the best recipes, best first, at most `count`, each structure's best only."""
    found: dict[str, Recipe] = {}
    for trial in best_first(trials, sign):
        recipe = Recipe.from_dict(trial.recipe)
        found.setdefault(recipe.structure, recipe)
        if len(found) == count:
            break
    return list(found.values())


def contenders(
    trials: Sequence[TrialRecord], sign: float, count: int, good: Sequence[Recipe]
) -> list[Recipe]:
    """Returns the recipes to race, at most `count`: the search's best, and recipes known to be good.

    The known ones take up to half of many places: what one validation split ranks low may be good.
    Where nothing was searched there is nothing to race.
    """
    known = good[: count // 2] if trials and count >= _MANY_PLACES else ()
    found = {recipe.id: recipe for recipe in (*ranked(trials, sign, count - len(known)), *known)}
    return list(found.values())


def best_first(trials: Sequence[TrialRecord], sign: float) -> list[TrialRecord]:
    """Returns the trials that were not pruned and have a score, best first; ties keep their order."""
    ended = [t for t in trials if t.score is not None and t.status in ("completed", "stopped")]
    return sorted(ended, key=lambda t: -sign * (t.score or 0.0))
