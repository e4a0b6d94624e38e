"""Snapshots: what one training has at the end of each cycle of its rate, as members of a blend."""

from __future__ import annotations

from pawl.errors import RecipeError
from pawl.recipe import Recipe
from pawl.techniques import AverageTechnique, StopTechnique

_CYCLES = 3
_SCHEDULE = "cosine_restarts"


def snapshots(recipe: Recipe) -> tuple[Recipe, ...]:
    """Returns a network's recipe once for each cycle of its rate, the whole training first.

    Huang et al., Snapshot Ensembles: Train 1, Get M for Free, ICLR 2017: the rate falls along a cosine
    in cycles of one length, and at each end there is another model. Of one seed and the same rows the
    trainings agree up to where the shorter one ends, so that they are one training's models. What
    blends, proves and deploys recipes needs to know nothing of it. It costs steps: of three cycles twice
    as many.

    Args:
        recipe: Of a network. Cycles that it has are kept. What stops early or averages weights is left
            out: a snapshot is the weights at a cycle's end.

    Returns:
        None if its optimizer takes no schedule, or it is a learner's.

    Example:
        >>> first = Recipe.of(adamw={}, cosine={}, batch_size={})
        >>> [r.settings("cosine_restarts").until for r in snapshots(first)]
        [0, 2, 1]
    """
    if recipe.learner:
        return ()
    bare = recipe
    for record in (StopTechnique, AverageTechnique):
        for technique, _ in recipe.of_stage(record):
            bare = bare.without(technique.name)
    try:
        whole = bare.with_(_SCHEDULE, until=0)
        if _SCHEDULE not in recipe:
            whole = whole.with_(_SCHEDULE, cycles=_CYCLES, growth=1.0)
    except RecipeError:
        return ()
    cycles = round(whole.settings(_SCHEDULE).cycles)  # type: ignore[attr-defined]
    return (whole, *(whole.with_(_SCHEDULE, until=at) for at in range(cycles - 1, 0, -1)))
