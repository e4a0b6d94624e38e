"""What the parts of a blend are worth: with intervals that describe; nothing is trained for it."""

from __future__ import annotations

from pawl.evidence.arms import Arm, Blend, Stacked
from pawl.evidence.pairs import Pairs
from pawl.evidence.tests import Comparison
from pawl.recipe import Recipe


def members(pairs: Pairs, arm: Arm) -> tuple[tuple[Recipe, Comparison], ...]:
    """Returns what each recipe of a blend adds to the others; nothing is trained for it."""
    if not isinstance(arm, Blend) or len(arm.recipes) == 1:
        return ()
    there = sorted(pairs.of(arm))
    found = []
    for recipe in arm.recipes:
        without = arm.without(recipe)
        pairs.run("confirm/members", {"without": without}, there)
        found.append((recipe, pairs.compare(arm, without)))
    return tuple(found)


def calibration(pairs: Pairs, arm: Arm) -> Comparison | None:
    """Returns what a blend's temperature, shift or trees are worth; nothing is trained for it."""
    if not isinstance(arm, Blend | Stacked) or not arm.is_adjusted:
        return None
    there, plain = sorted(pairs.of(arm)), arm.unadjusted
    pairs.run("confirm/calibration", {"unadjusted": plain}, there)
    return pairs.compare(arm, plain)
