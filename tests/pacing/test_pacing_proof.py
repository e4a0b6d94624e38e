"""How deep a campaign's evidence goes: made-up sessions whose answers are known.

With a budget of days, what a machine is doing just now is nothing beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from problems import problem

from pawl.evidence import LOOKS, Single
from pawl.execution import Session
from pawl.ledger import Ledger, TrialRecord
from pawl.pacing import Pace, RacePlan, finalists, plan_confirmation
from pawl.recipe import Recipe
from pawl.search import SearchPlan, baseline, starts

BUDGET = 1e6
Make = Callable[[float | None], Session]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with Ledger.create(tmp_path / "campaign", {}) as ledger:
        yield lambda budget: Session(problem("table"), ledger, 0, budget, epochs=2)


def pace(per_trial: float | None, trials: int | None = None) -> Pace:
    search = SearchPlan(width=4, quota=8, trials=trials, deadline=0.0)
    return Pace(epochs=2, seconds_per_trial=per_trial, search=search, seeds=3)


def trials(count: int) -> list[TrialRecord]:
    recipe = Recipe.of(adamw={})
    one = TrialRecord(
        phase="search", role="", recipe=recipe.to_dict(), recipe_id=recipe.id, seed=0,
        split="search", epochs=2, status="completed", score=0.5, holdout=None, steps=1,
        seconds=1.0, reason="", curve=[], extra={},
    )  # fmt: skip
    return [one] * count


def test_without_a_budget_the_evidence_follows_from_the_number_of_trials(make: Make) -> None:
    session = make(None)
    start = baseline(session.facts)
    candidate = starts(start, session.facts)[0]
    before: tuple[int, ...] = ()
    for count in (4, 20, 100):
        racers, pairs, *_ = finalists(session, pace(None, count), trials(count), entrants)
        assert racers >= 2
        assert pairs >= 2
        planned = plan_confirmation(session, pace(None, count), start, Single(candidate))
        assert planned.reserve == 0.0
        assert planned.effort.screen
        assert len(planned.effort.looks) > len(before)  # more trials, more looks
        assert set(planned.effort.looks) <= set(LOOKS)
        before = planned.effort.looks


def entrants(count: int) -> list[Recipe]:
    return [Recipe.of(adamw={"learning_rate": 1e-3 * place}) for place in range(1, count + 1)]


def trial_of(recipe: Recipe, seconds: float, rows: int) -> TrialRecord:
    steps = 10
    one = trials(1)[0]
    taken = seconds * steps * recipe.batch_size / rows
    return replace(one, recipe=recipe.to_dict(), recipe_id=recipe.id, steps=steps, seconds=taken)


def test_the_more_trainings_the_time_left_holds_the_more_recipes_race(make: Make) -> None:
    session = make(BUDGET)
    sizes = []
    for trainings in (10_000, 500, 200, 100, 50, 3):
        per_trial = BUDGET / trainings
        count, pairs, *_ = finalists(session, pace(per_trial), [], entrants)
        assert count == 1 or (count + 1) * pairs * per_trial < 0.7 * BUDGET  # the race fits
        sizes.append((count, pairs))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0][0] >= 8
    assert sizes[-1] == (1, 0)  # no race


def test_a_race_is_planned_by_what_the_racers_took_in_the_search(make: Make) -> None:
    session = make(BUDGET)
    session.longest = 2  # trainings are as long as they should be
    per_trial = BUDGET / 300  # and many
    rows = 2 * int(0.92 * len(session.problem.targets))  # of two passes over a pair's training rows
    races = {}
    for slower in (1.0, 1.6, 3.0, 30.0):
        seen = [trial_of(recipe, slower * per_trial, rows) for recipe in entrants(16)]
        races[slower] = finalists(session, pace(per_trial), seen, entrants)
        count, pairs, _ = races[slower]
        assert count * pairs * slower * per_trial < 0.5 * BUDGET
    assert races[1.6] == finalists(session, pace(per_trial), [], entrants)  # what else is assumed
    assert list(races.values()) == sorted(races.values(), reverse=True)
    assert races[1.0] > races[1.6] > races[3.0] > races[30.0] == RacePlan(1, 0)
    assert finalists(session, pace(per_trial), [], lambda _: entrants(1)) == RacePlan(1, 0)


def test_where_trainings_are_cut_short_fewer_race(make: Make) -> None:
    session = make(BUDGET)
    for trainings in (400, 300, 260):
        short = finalists(session, pace(BUDGET / trainings), [], entrants)
        session.longest = 2
        whole = finalists(session, pace(BUDGET / trainings), [], entrants)
        session.longest = None
        assert short < whole


def test_where_trainings_are_few_three_race_with_what_one_look_leaves(make: Make) -> None:
    """A look takes six pairs, of 1 and 1.6 trainings of the baseline; three race on three splits."""
    session = make(BUDGET)
    session.longest = 2
    one_look, race = 6 * (1 + 1.6), 3 * 3 * 1.6
    for trainings, expected in (
        (110, RacePlan(3, 3)),
        (one_look + race + 1, RacePlan(3, 3)),
        (one_look + race - 1, RacePlan(2, 3)),
        (one_look + 1, RacePlan(1, 0)),
    ):
        assert finalists(session, pace(BUDGET / trainings), [], entrants) == expected


def test_where_trainings_are_few_what_takes_longer_than_the_best_does_not_race(make: Make) -> None:
    """All have as many passes in a race, which favors it."""
    session = make(BUDGET)
    session.longest = 2
    per_trial = BUDGET / 110
    rows = 2 * int(0.92 * len(session.problem.targets))
    for slower, without in ((1.2, ()), (1.3, (entrants(2)[1].id,))):
        seen = [
            trial_of(recipe, times * per_trial, rows)
            for recipe, times in zip(entrants(3), (1.0, slower, 1.0), strict=True)
        ]
        assert finalists(session, pace(per_trial), seen, entrants) == RacePlan(3, 3, without)


def test_of_a_blend_the_best_race_that_fit_whatever_the_others_take(make: Make) -> None:
    session = make(BUDGET)
    per_trial = BUDGET / 300
    rows = 2 * int(0.92 * len(session.problem.targets))

    def planned(seconds: dict[int, float]) -> tuple[RacePlan, list[int]]:
        """Returns the plan, and the places of those who race."""
        seen = [
            trial_of(recipe, seconds.get(place, 0.5) * per_trial, rows)
            for place, recipe in enumerate(entrants(16))
        ]
        found = finalists(session, pace(per_trial), seen, entrants, blended=0.4)
        chosen = enumerate(entrants(found.places))
        return found, [place for place, recipe in chosen if recipe.id not in found.without]

    # Two take so long that nothing fits beside them: all others race, and are blended.
    found, racing = planned({1: 60.0, 4: 40.0})
    assert (found.pairs, racing) == (5, [0, 2, 3, 5])
    # The best ones are slow, the last ones quick: the best one races all the same.
    found, racing = planned({0: 6.0, 1: 30.0, 2: 30.0, 3: 30.0})
    assert racing[0] == 0
    assert 2 <= found.pairs <= 5
    # Where few fit on five folds, more do on fewer.
    found, racing = planned(dict.fromkeys(range(16), 9.0))
    assert found.pairs < 5
    assert len(racing) > 1


def test_the_confirmation_is_as_deep_as_the_time_left_allows(make: Make) -> None:
    session = make(BUDGET)
    start = baseline(session.facts)
    candidate = starts(start, session.facts)[0]

    def planned(trainings: float, count: int = 30) -> tuple[bool, tuple[int, ...]]:
        found = plan_confirmation(
            session, pace(BUDGET / trainings), start, Single(candidate), searched=count > 0
        )
        return found.effort.screen, tuple(found.effort.looks)

    assert planned(10_000) == (True, tuple(LOOKS))
    assert planned(10_000, 0) == (False, ())  # nothing was searched: nothing to confirm
    screened, looks = planned(12)
    assert not screened
    assert looks
    assert planned(2) == (False, (2,))
    assert planned(1) == (False, ())
