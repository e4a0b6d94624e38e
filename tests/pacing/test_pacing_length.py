"""How long trainings are behind the search: made-up sessions whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from problems import problem

from pawl.errors import TrialError
from pawl.evidence import LOOKS, Blend, Single, arm_of
from pawl.execution import Session
from pawl.ledger import Ledger, TrialRecord
from pawl.pacing import (
    Pace,
    extension,
    length,
    lengthened,
    natural_epochs,
    of_length,
    passes_of,
)
from pawl.pacing.proof import pairs_of_blend, seconds_of_each
from pawl.pacing.sizes import is_few
from pawl.recipe import Recipe
from pawl.search import SearchPlan, baseline, starts

BUDGET = 1e6
EPOCHS = 2
Make = Callable[[float | None], Session]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with Ledger.create(tmp_path / "campaign", {}) as ledger:
        yield lambda budget: Session(problem("table"), ledger, 0, budget, epochs=EPOCHS)


def pace(per_trial: float | None) -> Pace:
    search = SearchPlan(width=4, quota=8, trials=None, deadline=1.0)
    return Pace(epochs=EPOCHS, seconds_per_trial=per_trial, search=search, seeds=3)


def test_trainings_get_longer_until_one_look_at_pairs_is_left(make: Make) -> None:
    session = make(BUDGET)
    start = baseline(session.facts)
    candidate = Single(starts(start, session.facts)[0])  # takes next to nothing here
    lengths = []
    for trainings in (6, 20, 60, 200, 100_000):
        per_trial = BUDGET / trainings
        found = lengthened(session, pace(per_trial), start, candidate)
        assert EPOCHS <= found <= natural_epochs(session)
        assert found == EPOCHS or LOOKS[0] * per_trial * found / EPOCHS < BUDGET
        lengths.append(found)
    assert lengths == sorted(lengths)
    assert lengths[0] == EPOCHS  # not even one look: as short as the search's
    assert EPOCHS < lengths[1] < lengths[2]
    assert lengths[-1] == 30 < natural_epochs(session)  # more pairs are worth more than that
    session.longest = 2 * EPOCHS
    assert (
        lengthened(session, pace(1.0), start, candidate) == 2 * EPOCHS
    )  # nor longer than asked for
    long = replace(pace(1.0), epochs=30)
    session.longest = None
    assert lengthened(session, long, start, candidate) == 30  # it is long enough


def test_what_takes_longer_is_searched_by_the_passes_that_a_comparison_would_leave_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 20 passes of the baseline: pairs take `1 + c` times as long, of which it has a half."""
    session, whole = make(BUDGET), replace(pace(20.0), epochs=20)
    recipe = baseline(session.facts)
    for times, expected in ((1.0, 20), (3.0, 10), (0.5, 27), (1000.0, 1)):
        monkeypatch.setattr(length, "seconds_per_epoch", lambda *_, times=times, **__: times)
        assert passes_of(session, whole, recipe) == expected
        left = 20.0 * (1.0 + times) * expected / 20
        assert left == pytest.approx(2 * 20.0, rel=0.03) or expected == 1
    session.longest = 22
    monkeypatch.setattr(length, "seconds_per_epoch", lambda *_, **__: 0.5)
    assert passes_of(session, whole, recipe) == 22  # no longer than asked for

    def broken(*_: object, **__: object) -> float:
        raise TrialError("it cannot be timed")

    monkeypatch.setattr(length, "seconds_per_epoch", broken)
    assert passes_of(session, whole, recipe) == 20  # where it trains it will be said


def test_what_is_no_network_alone_or_not_timed_keeps_its_length(make: Make) -> None:
    session = make(BUDGET)
    start = baseline(session.facts)
    network, trees = starts(start, session.facts)[0], Recipe.of(lightgbm={})
    blend = Blend((network, trees), (0.4, 0.6))
    assert lengthened(session, pace(1.0), start, Single(network)) > EPOCHS
    for candidate in (Single(trees), blend, arm_of(start)):
        assert lengthened(session, pace(1.0), start, candidate) == EPOCHS
    assert lengthened(session, pace(1.0), trees, Single(network)) == EPOCHS
    part_of_rows = replace(pace(1.0), rows=100)
    assert lengthened(session, part_of_rows, start, Single(network)) == EPOCHS
    assert lengthened(make(None), pace(None), start, Single(network)) == EPOCHS


def test_the_networks_that_lead_a_blend_get_longer_as_its_pairs_leave_time(make: Make) -> None:
    session = make(BUDGET)
    start = baseline(session.facts)
    network, trees = starts(start, session.facts)[0], Recipe.of(lightgbm={})
    blend = Blend((network, trees), (0.6, 0.4))
    (per_tree,) = seconds_of_each(session, [trees])
    session.ledger.record("race", "race", {}, [raced(session, trees, 1000.0)], 1.0)
    (slow,) = seconds_of_each(session, [trees])
    assert slow > 900.0 > per_tree  # as it took in the race, however long networks train
    session.epochs = 10 * EPOCHS
    assert seconds_of_each(session, [trees]) == [pytest.approx(slow, rel=0.01)]
    session.epochs = EPOCHS
    per_trial, pairs = BUDGET / 60, pairs_of_blend(session, blend)
    assert pairs > LOOKS[0]
    alone = lengthened(session, pace(per_trial), start, Single(network))
    found = lengthened(session, pace(per_trial), start, blend)
    assert EPOCHS < found < alone  # it needs more pairs, and trees take what they take
    assert pairs * (per_trial * found / EPOCHS + slow) < BUDGET


def raced(session: Session, recipe: Recipe, seconds: float) -> TrialRecord:
    rows = int(0.94 * len(session.problem.targets))
    batch = min(recipe.batch_size, len(session.problem.targets))
    return TrialRecord(
        phase="race", role="trees", recipe=recipe.to_dict(), recipe_id=recipe.id, seed=0,
        split="race 0", epochs=EPOCHS, status="completed", score=0.5, seconds=seconds,
        steps=max(1, EPOCHS * rows // batch),
    )  # fmt: skip


def test_a_trial_takes_as_many_times_the_seconds() -> None:
    longer = of_length(pace(3.0), 5 * EPOCHS)
    assert (longer.epochs, longer.seconds_per_trial) == (5 * EPOCHS, 15.0)
    assert of_length(pace(None), 5).seconds_per_trial is None
    assert of_length(pace(3.0), EPOCHS) == pace(3.0)


def test_a_search_by_short_trainings_goes_on_until_one_look_at_long_ones_is_left(
    make: Make,
) -> None:
    session = make(BUDGET)
    start = baseline(session.facts)
    candidate = starts(start, session.facts)[0]
    deadlines = [
        extension(session, pace(BUDGET / trainings), start, candidate)
        for trainings in (60, 600, 900, 3000)
    ]
    assert deadlines[0] is None  # a look at trainings of 30 passes takes 15 times the search's
    ends = [each for each in deadlines[1:] if each is not None]
    assert len(ends) == 3
    assert ends == sorted(ends)
    assert all(each < BUDGET for each in ends)
    # The same trainings, were they long enough, would leave time for twenty pairs alone.
    long = replace(pace(BUDGET / 600), epochs=30)
    assert extension(session, long, start, candidate) != deadlines[1]
    assert extension(make(None), pace(None), start, candidate) is None


def test_where_trainings_are_few_and_long_enough_one_look_is_left_as_well(make: Make) -> None:
    session = make(BUDGET)
    start = baseline(session.facts)
    candidate = starts(start, session.facts)[0]
    per_trial = {trainings: BUDGET / trainings for trainings in (100, 260)}
    left = {}
    for trainings, seconds in per_trial.items():
        long = replace(pace(seconds), epochs=30)
        assert is_few(session, long) == (trainings == 100)
        deadline = extension(session, long, start, candidate)
        assert deadline is not None
        left[trainings] = (BUDGET - deadline) / seconds
    # In trainings of the baseline: six pairs and a race of three on three splits, or twenty pairs and
    # a race of many.
    assert left[100] == pytest.approx(6 * (1 + 1.6) + 9 * 1.6, rel=0.01)
    assert left[260] > LOOKS[-1] * (1 + 2.0)
