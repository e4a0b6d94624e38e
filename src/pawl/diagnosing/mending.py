"""What a diagnosis would do: a recipe with the first thing that each finding suggests."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pawl.diagnosing.finding import Finding
from pawl.errors import RecipeError
from pawl.recipe import Recipe
from pawl.techniques import Facts, refusal, technique


def mended(
    findings: Sequence[Finding],
    start: Recipe,
    facts: Facts,
    only: Collection[str] | None = None,
) -> Recipe:
    """Returns the recipe with the first suggestion of each finding that can come in.

    A suggestion that the recipe has counts where the finding knows better settings for it. What a graver
    finding brought in is not replaced. Remarks are left alone.

    Args:
        findings: The gravest first.
        start: What was diagnosed.
        facts: Of the task, which techniques must fit.
        only: Names of techniques that may come in or change; all by default.
    """
    recipe, brought = start, set[str]()
    for finding in findings:
        for name in finding.suggests if finding.severity != "info" else ():
            if only is not None and name not in only:
                continue
            tries = finding.tries if name == finding.suggests[0] else {}
            if refusal(technique(name), facts) or (name in recipe and not tries):
                continue
            try:
                other = recipe.with_(name, **tries)
            except RecipeError:  # it excludes another technique, or settings are out of bounds
                continue
            if all(each in other for each in brought):
                recipe = other
                brought.add(name)
                break
    return recipe
