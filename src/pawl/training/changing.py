"""Recipes as they are at a step, where a member's settings change while it trains."""

from __future__ import annotations

import math

from pawl.recipe import Recipe
from pawl.techniques import ChangingTechnique
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
