"""The search: generations of one structure each, every one written to the ledger as a unit.

The first generations try the baseline's neighborhood and the recipe that is most likely to be good; then
the sampler and other recipes that are known to be good take turns. Inside a generation the sampler
proposes the memberwise settings.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from pawl.execution import Session
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe
from pawl.search.asking import EXHAUSTED, Asked, run_asked
from pawl.search.space import Space
from pawl.search.starts import starts
from pawl.search.strategy import Strategy

_PHASE = "search"
_MAX_GENERATIONS = 10_000
_LEAD = 2
"""Known recipes in front of the first generation that the sampler proposes."""


@dataclass(frozen=True)
class SearchPlan:
    """How large a search is.

    Attributes:
        width: Places of a generation.
        quota: Configurations of a generation; those beyond the width refill places.
        trials: Configurations in all, or `None` when a deadline ends the search.
        deadline: Campaign seconds at which it ends, or `None`.
        known: Configurations of a generation that begins with a known recipe; as of others if `None`.
        passes: Tells how many passes trainings like a recipe's take; all the campaign's if `None`.
    """

    width: int
    quota: int
    trials: int | None
    deadline: float | None
    known: int | None = None
    passes: Callable[[Recipe], int] | None = None


_DEFAULT = Strategy()


def search(
    session: Session,
    baseline: Recipe,
    plan: SearchPlan,
    strategy: Strategy = _DEFAULT,
    only: Collection[str] | None = None,
    *,
    favored: Collection[str] = (),
    warm: Sequence[Recipe] = (),
) -> list[TrialRecord]:
    """Runs generations until the deadline or the number of trials; returns all trials in order.

    Called again with a later deadline, it goes on behind the generations in the ledger. With `only`,
    no other techniques come in and no others' settings are varied; those that are `favored` come in more
    often. Recipes of `warm` come first.
    """
    only = strategy.only(only)
    # The baseline comes second: the first recipe is the one most likely to be worth a short budget.
    good = starts(baseline, session.facts, only)
    known = list(dict.fromkeys((*warm, *good[:1], baseline, *good[1:])))
    space = Space(baseline, session.facts, only, strategy.grid, favored, known)
    trials: list[TrialRecord] = []
    exhausted = False
    for generation in range(_MAX_GENERATIONS):
        turn = exhausted or is_known_turn(generation, len(warm))
        first = known.pop(0) if known and turn else None
        if exhausted and first is None:
            break
        count = plan.quota if first is None or plan.known is None else plan.known
        if plan.trials is not None:
            count = min(count, plan.trials - len(trials))
        if count <= 0:
            break
        done = session.ledger.unit(f"search/{generation}") is not None
        if not done and (session.clock.stopped or not _goes_on(session, plan)):
            break
        if not done:
            session.listener.phase("search", f"generation {generation + 1}")
        asked = Asked(generation, count, plan.width, plan.deadline, plan.passes)
        work = functools.partial(run_asked, session, space, asked, strategy, tuple(trials), first)
        unit = session.ledger.compute(f"search/{generation}", _PHASE, work)
        exhausted = exhausted or unit.payload["source"] == EXHAUSTED
        trials += unit.trials
        session.note(unit.trials)
    return trials


def is_known_turn(generation: int, warm: int = 0) -> bool:
    """Tells whether a generation begins with a known recipe, where some are left.

    Those of another campaign and two more come first, then every other generation does.

    Args:
        generation: Its number.
        warm: Recipes of another campaign.

    Example:
        >>> [number for number in range(8) if is_known_turn(number)]
        [0, 1, 3, 5, 7]
    """
    return (generation - warm) < _LEAD or (generation - warm - _LEAD) % 2 == 1


def _goes_on(session: Session, plan: SearchPlan) -> bool:
    """Tells whether there is time for most of another generation, by the mean of those before."""
    if plan.deadline is None:
        return True
    seconds = [unit.seconds for unit in session.ledger.units(_PHASE)]
    need = 0.7 * sum(seconds) / len(seconds) if seconds else 0.0
    return session.ledger.elapsed + need < plan.deadline
