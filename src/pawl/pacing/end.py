"""The end of a campaign: the time that what follows the last training takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pawl.execution import Session, available
from pawl.recipe import Recipe

SLOWER_FINAL = 1.6
"""How much longer a final recipe trains than a baseline, as planned for."""
RESPLIT_ROWS = 0.94
"""Training rows of a pair of the confirmation, relative to the search's."""
FEW_MODELS = 3
"""Averaged models of a short end."""
_ONE_MORE_RECIPE, _ONE_MORE_MODEL = 0.3, 0.04
"""What one more recipe of a blend adds to an export, and one more model of one that is in already."""
_BY_GRAPH = 1 / 3
"""Of the seconds that PyTorch takes to predict, those that a graph of the same does."""
_REPORT_SECONDS, _REPORT_EXPORTS = 1.5, 6.0  # at least these seconds, or so many small exports
_ROOM = 1.25


_LIMITS_SHARE = 0.2
"""Of a budget, what is set aside for making the model keep within limits."""
_MODULES = 10
"""About so many modules a bundle holds, where what is delivered is a blend."""


def copies(average: int, parts: int) -> int:
    """Returns how many models of an arm are averaged at most: of a blend fewer, which has others.

    Args:
        average: Most models, as the user wants it.
        parts: How many recipes the arm trains.
    """
    return min(average, max(2, math.ceil(_MODULES / parts)))


def ending(session: Session, models: int, parts: int = 1) -> float:
    """Returns the seconds of what follows the last training: intervals, export, latency, report.

    By the processor's seconds of one export, measured at the start, times how much longer than the
    processor the clock has taken so far: neighbors on the same cores will slow the end as well. Exported
    are both arms, and one model where the final arm has several.

    Args:
        session: The campaign's.
        models: Whose mean the exported graphs predict.
        parts: How many recipes each of the final arm's models is made of.
    """
    once = session.clock.export_seconds
    arms = [
        once * (1.0 + _ONE_MORE_RECIPE * (recipes - 1) + _ONE_MORE_MODEL * recipes * (models - 1))
        for recipes in (1, parts)
    ]
    single = once if models > 1 or parts > 1 else 0.0
    exports = max((sum(arms) + single) / min(2, available()), arms[-1])
    return _ROOM * session.clock.slowdown * exports + reporting(session)


def reporting(session: Session) -> float:
    """Returns the seconds that bundle and report take, by those of one export."""
    report = max(_REPORT_SECONDS, _REPORT_EXPORTS * session.clock.export_seconds)
    return _ROOM * session.clock.slowdown * report


def aside(budget: float | None, *, limited: bool) -> float:
    """Returns the seconds to set aside for a compression, where there are limits.

    What it does not need is left over: whether the model keeps them is known only when it is there.
    """
    return _LIMITS_SHARE * budget if limited and budget is not None else 0.0


def scoring(session: Session) -> Callable[[Sequence[Recipe], int], float]:
    """Returns what tells the seconds in which so many models of each recipe predict the test rows.

    Each model does, then their graph: by what learners took for a row when they were tried. Networks
    take next to nothing.
    """
    known = {
        Recipe.from_dict(trial.recipe).structure: trial.predicting
        for trial in session.ledger.trials("learners")
    }
    shares = 1.0 / min(2, available()) + _BY_GRAPH

    def seconds(recipes: Sequence[Recipe], models: int) -> float:
        each = sum(known.get(recipe.structure, 0.0) for recipe in recipes)
        return _ROOM * session.clock.slowdown * shares * models * session.test_rows * each

    return seconds
