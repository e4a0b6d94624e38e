"""Recipes as they are at a step, where a member's settings change while it trains, and when it ends."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pawl.recipe import Recipe
from pawl.techniques import ChangingTechnique, ScheduleTechnique
from pawl.techniques.changing import changeable


def recipe_at(recipe: Recipe, step: int, total: int) -> Recipe:
    """Returns the recipe with the settings that hold at a step; itself where none changes."""
    for schedule, settings in recipe.of_stage(ChangingTechnique):
        share = step / total
        changed = {
            t.name: {
                key: schedule.apply(t, key, getattr(own, key), share, settings)
                for key in changeable(t)
            }
            for t, own in recipe
        }
        entries = tuple((t.name, own.model_copy(update=changed[t.name])) for t, own in recipe)
        recipe = Recipe(entries)
    return recipe


def steps_of_changes(recipe: Recipe, total: int) -> tuple[int, ...]:
    """Returns the steps, taken before, from which settings are others, rising."""
    found = {
        math.ceil(share * total - 1e-6)
        for _, settings in recipe.of_stage(ChangingTechnique)
        for share, _, _ in settings.changes  # type: ignore[attr-defined]
    }
    return tuple(sorted(found))


def steps_taken(recipe: Recipe, total: int) -> int:
    """Returns how many steps are taken of those that schedules span: all, if none ends sooner."""
    each = [t.ends(own) for t, own in recipe.of_stage(ScheduleTechnique) if t.ends is not None]
    return max(1, math.ceil(min([1.0, *each]) * total - 1e-6))


def steps_until(changes: Sequence[Sequence[int]], steps: Sequence[int], most: int) -> int:
    """Returns the fewest steps, at most so many, after which a member's settings are others.

    Args:
        changes: Of each member, `steps_of_changes`.
        steps: That each has taken.
        most: The most.

    Example:
        >>> steps_until([(6, 12), (), (7,)], [5, 5, 7], most=4)
        1
    """
    ahead = [at - step for own, step in zip(changes, steps, strict=True) for at in own]
    return min((each for each in ahead if each > 0), default=most)
