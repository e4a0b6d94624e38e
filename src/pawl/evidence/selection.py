"""What happens between search and confirmation: a race of recipes, and backward elimination.

Both are selection, so they judge on the rows that choices are made by; nothing they measure enters a
verdict on what is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from pawl.evidence.arms import Single
from pawl.evidence.delivering import likelihood
from pawl.evidence.pairs import Pairs
from pawl.evidence.tests import Comparison, non_inferior
from pawl.evidence.verdicts import Verdict, name_without
from pawl.execution import FOLDS, Session
from pawl.recipe import Change, Recipe

MARGIN_SHARE = 0.25
"""A smaller recipe is non-inferior if it loses less than this share of the gain over the baseline."""
_SCREEN_PAIRS = 5
_BEHIND = 0.8
"""How likely the best recipe of a race must be better for another to count as behind it."""


def race(session: Session, recipes: Sequence[Recipe], pairs: int) -> Pairs | None:
    """Trains recipes on a few folds of the rows that choices are made by; `None` if that was no race.

    The baseline takes no part: which recipe is confirmed does not depend on it.
    """
    if len(recipes) == 1 or not pairs:
        return None
    session.listener.phase("race", f"{len(recipes)} recipes on {pairs} fresh splits")
    racing = Pairs(session, "race", session.rows.parts[0], min(FOLDS, pairs))
    arms = {f"candidate {i}": recipe for i, recipe in enumerate(recipes)}
    return racing if racing.run("race", arms, range(pairs)) else None


def behind(racing: Pairs, recipes: Sequence[Recipe]) -> set[str]:
    """Returns the identifiers, as arms, of recipes that are probably worse than the best of the race.

    Args:
        racing: Where they raced.
        recipes: Those that did.
    """
    best = max(recipes, key=racing.mean)
    return {
        Single(recipe).id
        for recipe in recipes
        if recipe != best and likelihood(racing.compare(best, recipe)) > _BEHIND
    }


def screen(
    session: Session, baseline: Recipe, candidate: Recipe
) -> tuple[Recipe, tuple[Verdict, ...]]:
    """Drops changes that show no benefit.

    The recipe is compared with itself without each change; all changes without a positive effect
    are dropped together if the smaller recipe is not inferior, else the worst one alone.

    Returns:
        The smaller recipe, and the verdicts on what was dropped.
    """
    changes = candidate.changes(baseline)
    if len(changes) < 2:
        return candidate, ()
    session.listener.phase("screen", f"{len(changes)} changes, one left out at a time")
    pairs = Pairs(session, "screen", session.rows.parts[0])
    without = {change: candidate.revert(change, baseline) for change in changes}
    arms = {name_without(change): recipe for change, recipe in without.items()}
    everyone = {"baseline": baseline, "candidate": candidate, **arms}
    if not pairs.run("screen/each", everyone, range(_SCREEN_PAIRS)):
        return candidate, ()
    effects = {change: pairs.compare(candidate, recipe) for change, recipe in without.items()}
    margin = max(0.0, MARGIN_SHARE * pairs.compare(candidate, baseline).effect)
    losers = [change for change in changes if effects[change].effect <= 0]

    def dispensable(dropped: Sequence[Change]) -> Recipe | None:
        smaller = candidate
        for change in dropped:
            smaller = smaller.revert(change, baseline)
        if not dropped or not smaller.changes(baseline):
            return None
        names = ", ".join(change.name for change in dropped)
        arms = {f"without {names}": smaller}
        if not pairs.run(f"screen/{names}", arms, range(_SCREEN_PAIRS)):
            return None
        return smaller if non_inferior(pairs.compare(smaller, candidate), margin) else None

    for dropped in (losers, sorted(losers, key=lambda c: effects[c].effect)[:1]):
        smaller = dispensable(dropped)
        if smaller is not None:
            return smaller, tuple(_rejected(candidate, c, effects, len(changes)) for c in dropped)
    return candidate, ()


def _rejected(
    candidate: Recipe, change: Change, effects: dict[Change, Comparison], comparisons: int
) -> Verdict:
    return Verdict(
        change=change,
        recipe=candidate,
        verdict="rejected",
        in_final=False,
        comparison=effects[change],
        p_value=min(1.0, effects[change].p_value * comparisons),
        reason=f"no benefit in {_SCREEN_PAIRS} screening pairs, and the recipe without it is not "
        "inferior",
    )
