"""Where a search starts: the baseline, and a few recipes that are known to be good."""

from __future__ import annotations

from collections.abc import Collection

from pawl.modalities import modality_of
from pawl.modalities.recipes import scaled, transferred
from pawl.recipe import Recipe
from pawl.techniques import Facts, unfit


def baseline(facts: Facts) -> Recipe:
    """Returns what a competent person writes first; see the modalities."""
    return modality_of(facts.schema).baseline(facts)


def starts(start: Recipe, facts: Facts, only: Collection[str] | None = None) -> tuple[Recipe, ...]:
    """Returns recipes known to be good for such a task, the given one left out.

    Techniques that do not fit the task or are not among `only` are taken out of them; what is then
    equal to another recipe is left out. The first is the one most likely to be worth a short budget.
    """
    found: list[Recipe] = []
    learned = transferred(start) if facts.pretrained else []
    for known in (*learned, *modality_of(facts.schema).starts(start, facts)):
        recipe = within(scaled(known), start, facts, only)
        if recipe != start and recipe not in found:
            found.append(recipe)
    return tuple(found)


def within(recipe: Recipe, start: Recipe, facts: Facts, only: Collection[str] | None) -> Recipe:
    """Returns the recipe without what does not fit the task or is not allowed."""
    recipe = fitting(recipe, facts)
    for change in recipe.changes(start):
        if only is not None and change.name not in only:
            recipe = recipe.revert(change, start)
    return recipe


def fitting(recipe: Recipe, facts: Facts) -> Recipe:
    """Returns the recipe without the techniques that do not fit the task."""
    for t, settings in recipe:
        if unfit(t, settings, facts):
            recipe = recipe.without(t.name)
    return recipe
