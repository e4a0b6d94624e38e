"""Between search and confirmation: how many recipes race, and on how many pairs.

What a recipe takes is known from its own trials. Planning by what the baseline takes has cost campaigns
their proof: a structure that wins can train for more than twice as long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

from pawl.execution import FOLDS, Session
from pawl.ledger import TrialRecord
from pawl.pacing.end import FEW_MODELS, SLOWER_FINAL, ending, scoring
from pawl.pacing.sizes import FEW_TRIALS, PAIRS_OF_LONGER, Pace, is_few
from pawl.recipe import Recipe
from pawl.search import ranked

RACE_SHARE, _BLENDED_RACE_SHARE, _SMALL_RACE_SHARE = 0.35, 0.42, 0.5
"""Of the time left for race and confirmation; blends are sooner confirmed, few racers sooner done."""
_RACES = ((16, 10), (12, 8), (8, 6), (6, 5), (4, 4), (3, 3), (2, 3))
_RACES_OF_FEW = ((3, 3), (2, 3), (2, 2))
"""Where trainings are few: with what one look at pairs leaves, which `extension` plans for."""
_FEW_RACERS = 3
_ALIKE = 1.25
"""Times what the best takes; what takes longer, at as many passes, would have it too easy."""
BLENDED, _BLENDED_RECIPES = 0.4, 6
"""Of the time of all who race: what a model of their blend is planned to take; and of how many."""
_FOLDS_OF_BLENDS = (FOLDS, 4, 3, 2)
"""By which a blend is weighed; models of fewer train on fewer rows: of two on 80%, of five on 92%."""
_ENOUGH, _ENOUGH_OF_MANY, _MANY_ROWS = 4, 6, 4000
"""Recipes that make a blend worth its folds; of many rows to weigh by, more recipes are worth fewer."""
_REFITTED = 1.9
"""How much longer a learner takes that is fitted anew, as it is not in its first try."""
_PAIRS_FIRST, _PAIRS_OF_BLENDS = 10, 4
"""That a race leaves time for: of a recipe, and of a blend, which differs more from the baseline."""

Entrants = Callable[[int], Sequence[Recipe]]
"""The recipes that race when so many places are given, best first."""


class RacePlan(NamedTuple):
    """Who races.

    Attributes:
        places: How many, as `Entrants` is asked; 1 for no race.
        pairs: Pairs of each.
        without: Identifiers of recipes that would take a place and are left out, for lack of time.
    """

    places: int
    pairs: int
    without: tuple[str, ...] = ()


def finalists(
    session: Session,
    pace_: Pace,
    trials: Sequence[TrialRecord],
    entrants: Entrants,
    *,
    blended: float = 0.0,
) -> RacePlan:
    """Returns how many recipes go into the race, and on how many pairs (one recipe: no race).

    On few rows a validation score says little, and trainings are cheap: many recipes race then. The
    race takes a share of the time left, and leaves enough for a confirmation of whichever wins; where
    trainings are few, all but one look at pairs of it, for those that take about as long. Where no
    race of all fits that could be blended, the best of them race, as many as fit; on fewer folds, if few
    do.

    Args:
        session: The campaign's.
        pace_: Its sizes.
        trials: The search's, and those of learners.
        entrants: See `Entrants`.
        blended: Which share of their time a model of a blend of them is planned to take.
    """
    if pace_.seconds_per_trial is None:
        few = (pace_.search.trials or 0) < FEW_TRIALS or session.clock.stopped
        return RacePlan(2, 2) if few else RacePlan(3, 3)
    base, known = pace_.seconds_per_trial, seconds_of_recipes(session, trials)
    predicting, few = scoring(session), is_few(session, pace_) and not blended

    def cost(recipe: Recipe) -> float:
        return known(recipe) or base * SLOWER_FINAL

    def fits(recipes: Sequence[Recipe], pairs: int) -> bool:
        each = [cost(recipe) for recipe in recipes]
        final = max(*each, blended * sum(each))
        left = for_evidence(session, pace_, final)
        left -= blended * predicting(recipes, FEW_MODELS)
        first = _PAIRS_OF_BLENDS if blended else PAIRS_OF_LONGER if few else _PAIRS_FIRST
        proving = first * (base + final)
        share = _BLENDED_RACE_SHARE if blended else RACE_SHARE
        if len(each) <= _FEW_RACERS:
            share = _SMALL_RACE_SHARE
        if few:
            share = 1.0
        return pairs * sum(each) < min(share * left, left - proving)

    for count, pairs in _RACES_OF_FEW if few else _RACES:
        recipes = entrants(count)
        slow = [r.id for r in recipes if few and cost(r) > _ALIKE * cost(recipes[0])]
        alike = [recipe for recipe in recipes if recipe.id not in slow]
        if len(alike) > 1 and fits(alike, pairs):
            return RacePlan(count, pairs, tuple(slow))
        if blended and pairs == FOLDS:
            plans = [(folds, _fitting(recipes, folds, fits)) for folds in _FOLDS_OF_BLENDS]
            many = len(session.rows.parts[0]) >= _MANY_ROWS
            wanted = min(len(recipes), _ENOUGH_OF_MANY if many else _ENOUGH)
            enough = [plan for plan in plans if len(plan[1]) >= wanted]
            folds, places = enough[0] if enough else max(plans, key=lambda plan: _worth(plan[1]))
            if len(places) > 1:
                left_out = [r.id for at, r in enumerate(recipes) if at not in places]
                return RacePlan(count, folds, tuple(left_out))
    return RacePlan(1, 0)


def _fitting(
    recipes: Sequence[Recipe], pairs: int, fits: Callable[[Sequence[Recipe], int], bool]
) -> list[int]:
    """Returns the places of those that fit together on so many pairs; the first ones come first."""
    places = list[int]()
    for at in range(len(recipes)):
        if fits([recipes[place] for place in (*places, at)], pairs):
            places.append(at)
    return places


def _worth(places: Sequence[int]) -> float:
    """Returns what recipes of these places are worth together: the second is half of the first."""
    return sum(1.0 / (1 + place) for place in places)


def seconds_of_recipes(
    session: Session, trials: Sequence[TrialRecord]
) -> Callable[[Recipe], float | None]:
    """Returns what tells the seconds of a recipe's training in a pair, by trials that are over.

    By seconds per row: of the recipe's trials, else of trials of its structure; `None` if neither is
    there. A trial's seconds are its share of its population's. A learner takes what it takes, however
    many passes networks train for.
    """
    rates: defaultdict[str, list[float]] = defaultdict(list)
    for trial in trials:
        if trial.steps and trial.seconds:
            recipe = Recipe.from_dict(trial.recipe)
            batch = min(recipe.batch_size, len(session.problem.targets))
            rate = trial.seconds / (trial.steps * batch)
            if recipe.learner:
                rate *= trial.epochs
            if trial.phase == "learners" and recipe.learner and recipe.learner.refit:
                rate *= _REFITTED
            rates[recipe.id].append(rate)
            rates[recipe.structure].append(rate)
    rows = session.rows.parts[0]
    split = session.rows.resplit("race", 0, rows, session.rows.num_folds(rows, FOLDS))

    def seconds(recipe: Recipe) -> float | None:
        seen = rates.get(recipe.id) or rates.get(recipe.structure)
        if not seen:
            return None
        member = session.rows.member(recipe, 0, split.train, split.valid, session.epochs)
        return fmean(seen) * len(member.train) * (1 if recipe.learner else member.epochs)

    return seconds


def seconds_of_blend(session: Session, trials: Sequence[TrialRecord]) -> float:
    """Returns the seconds that a model of a blend of the best learners is planned to take."""
    known, sign = seconds_of_recipes(session, trials), session.problem.objective.sign
    best = ranked([trial for trial in trials if trial.phase == "learners"], sign, _BLENDED_RECIPES)
    each = [known(recipe) or 0.0 for recipe in best]
    return max([0.0, *each, BLENDED * sum(each)])


def for_evidence(session: Session, pace_: Pace, final: float) -> float:
    """Returns the seconds that are left for race and confirmation.

    Args:
        session: The campaign's.
        pace_: Its sizes, timed.
        final: Seconds of a training of what is delivered.
    """
    assert session.clock.left is not None
    assert pace_.seconds_per_trial is not None
    fresh = pace_.fresh * (final + pace_.seconds_per_trial)
    return session.clock.left - ending(session, pace_.seeds) - fresh
