"""What the parts of a blend are worth: with intervals that describe; nothing is trained for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pawl.evidence.arms import Arm, Blend, Single, Stacked, lead
from pawl.evidence.pairs import Pairs
from pawl.evidence.tests import Comparison
from pawl.execution import Session
from pawl.recipe import Recipe


@dataclass(frozen=True)
class Part:
    """A recipe of a blend.

    Attributes:
        recipe: The recipe.
        adds: The blend with it against the blend of the others.
        over: The blend against the recipe on its own.
        raced: Its own mean score in the race, where choices were made; `None` if it was in none, or a
            training failed.
    """

    recipe: Recipe
    adds: Comparison
    over: Comparison
    raced: float | None = None


def parts_of(pairs: Pairs, arm: Arm) -> tuple[Part, ...]:
    """Returns what each recipe of a blend adds to the others, and the blend to it.

    Not corrected for their number: they describe, and claim nothing. Where trees correct a mean, what
    recipes add is told of the mean.

    Args:
        pairs: The confirmation's, which has the trainings.
        arm: What was compared.
    """
    mean = arm.unadjusted if isinstance(arm, Stacked) else arm
    if not isinstance(mean, Blend) or len(mean.recipes) == 1:
        return ()
    there, raced = sorted(pairs.of(arm)), _raced(pairs.session)
    found = []
    for recipe in mean.recipes:
        without = mean.without(recipe)
        compared = {"without": without, "mean": mean, "alone": Single(recipe)}
        pairs.run("confirm/members", compared, there)
        found.append(
            Part(
                recipe, pairs.compare(mean, without), pairs.compare(arm, Single(recipe)),
                raced.get(recipe.id),
            )
        )  # fmt: skip
    return tuple(found)


def best_alone(session: Session, arm: Arm) -> Recipe:
    """Returns the recipe of an arm that did best on its own where choices were made.

    The one that leads it where none raced.
    """
    raced, sign = _raced(session), session.problem.objective.sign
    known = [each.recipe for each in arm.trainings if each.recipe.id in raced]
    return max(known, key=lambda recipe: sign * raced[recipe.id], default=lead(arm))


def _raced(session: Session) -> dict[str, float]:
    """Returns the mean scores of the recipes that raced, by their ids, without those that failed."""
    scores: dict[str, list[float | None]] = {}
    for trial in session.ledger.trials("race"):
        scores.setdefault(trial.recipe_id, []).append(trial.holdout)
    whole = {id_: [s for s in each if s is not None] for id_, each in scores.items()}
    return {
        id_: float(np.mean(each)) for id_, each in whole.items() if len(each) == len(scores[id_])
    }


def calibration(pairs: Pairs, arm: Arm) -> Comparison | None:
    """Returns what a blend's temperature, shift or trees are worth; nothing is trained for it."""
    if not isinstance(arm, Blend | Stacked) or not arm.is_adjusted:
        return None
    there, plain = sorted(pairs.of(arm)), arm.unadjusted
    pairs.run("confirm/calibration", {"unadjusted": plain}, there)
    return pairs.compare(arm, plain)
