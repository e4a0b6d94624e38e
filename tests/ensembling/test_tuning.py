"""Settings of learners near the best: in their bounds, of unlike kinds, the same each time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import problem

from pawl.ensembling import Tuning, fitting_learners, try_learners, unlike
from pawl.ensembling.tuning import kind_of, neighbor
from pawl.execution import Session
from pawl.ledger import Ledger, TrialRecord
from pawl.pacing import Pace, tuned
from pawl.recipe import Recipe
from pawl.search import SearchPlan
from pawl.techniques.bounds import bounds

LEARNERS = {
    recipe.learner.name: recipe
    for recipe in fitting_learners(problem("regression").facts())
    if recipe.learner is not None
}


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Ledger.create(tmp_path / "campaign", {}) as ledger:
        yield Session(problem("regression"), ledger, 0, epochs=2)


def trial(recipe: Recipe, score: float, seconds: float = 0.1) -> TrialRecord:
    return TrialRecord(
        phase="learners", role="", recipe=recipe.to_dict(), recipe_id=recipe.id, seed=0, split="",
        status="completed", score=score, steps=10, epochs=1, seconds=seconds,
    )  # fmt: skip


@settings(max_examples=60)
@given(name=st.sampled_from(sorted(LEARNERS)), seed=st.integers(0, 2**20))
def test_a_neighbor_is_of_the_same_kind_and_within_bounds(name: str, seed: int) -> None:
    recipe = LEARNERS[name]
    found = neighbor(recipe, np.random.default_rng(seed))
    learner = found.learner
    assert learner is not None
    assert learner.name == name
    assert kind_of(trial(found, 1.0)) == kind_of(trial(recipe, 1.0))
    before, after = (each.settings(name).model_dump() for each in (recipe, found))
    for key, field in learner.settings.model_fields.items():
        low, high = bounds(field)
        if low is not None:
            assert low <= after[key] <= high
    kept = {"rounds", "trees", "patience"} & set(before)
    assert all(before[key] == after[key] for key in kept)
    assert found.with_(name, **before) == recipe  # what else is there stays


def test_settings_move_by_about_a_fifth_of_their_range() -> None:
    random = np.random.default_rng(0)
    base = LEARNERS["lightgbm"]
    rates = [neighbor(base, random).settings("lightgbm").learning_rate for _ in range(400)]
    start = base.settings("lightgbm").learning_rate
    moved = [abs(np.log(rate / start)) for rate in rates if rate != start]
    assert 0.35 < len(moved) / len(rates) < 0.7
    assert 0.4 < np.mean(moved) / (0.2 * np.log(0.3 / 0.005)) < 1.0  # a half normal's mean is 0.8


def test_the_best_of_each_kind_race_then_the_second_best() -> None:
    trees, lines = LEARNERS["extra_trees"], LEARNERS["linear"]
    variants = [
        trial(trees.with_("extra_trees", leaf_rows=rows), 0.5 + 0.01 * (rows // 2))
        for rows in range(2, 6)
    ]
    found = unlike([*variants, trial(lines, 0.9)], -1.0, 9)
    assert [r.learner.name for r in found if r.learner] == ["extra_trees", "linear", "extra_trees"]
    leaves = [found[place].settings("extra_trees").leaf_rows for place in (0, 2)]
    assert leaves == [2, 4]  # three rows gave the same as two
    assert len(unlike(variants, -1.0, 1)) == 1


def test_tuning_finds_no_worse_and_the_same_each_time(session: Session, tmp_path: Path) -> None:
    chosen = [LEARNERS[name] for name in ("extra_trees", "linear")]
    tried = try_learners(session, chosen)
    tuning = Tuning(session, tried)
    tuning.run(count=6)
    assert len(tuning.trials) == len(tried) + 6
    assert min(t.score or 9.0 for t in tuning.trials) <= min(t.score or 9.0 for t in tried)
    assert len({t.recipe_id for t in tuning.trials}) == len(tuning.trials)
    with Ledger.create(tmp_path / "again", {}) as ledger:
        other = Session(problem("regression"), ledger, 0, epochs=2)
        again = Tuning(other, try_learners(other, chosen))
        again.run(count=2)
        again.run(count=4)
    found = [(t.recipe_id, t.score) for t in again.trials]
    assert found[: len(tried) + 2] == [
        (t.recipe_id, t.score) for t in tuning.trials[: len(tried) + 2]
    ]


def test_nothing_is_begun_behind_a_deadline_and_what_is_dear_is_left(session: Session) -> None:
    tuning = Tuning(session, [trial(LEARNERS["linear"], 0.5, seconds=100.0)])
    tuning.run(deadline=session.ledger.elapsed - 1.0)
    tuning.run(deadline=session.ledger.elapsed + 200.0)  # a fit takes more than a quarter of it
    assert len(tuning.trials) == 1
    nothing = Tuning(session, [])
    assert nothing.over
    nothing.run(count=3)
    assert not nothing.trials


def test_what_had_no_time_goes_on_when_there_is_some(session: Session) -> None:
    tuning = Tuning(session, [trial(LEARNERS["linear"], 0.5)])
    tuning.run(deadline=session.ledger.elapsed - 1.0)
    assert len(tuning.trials) == 1
    tuning.run(deadline=session.ledger.elapsed + 30.0)
    assert len(tuning.trials) > 1


def test_fits_without_a_better_one_end_it(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = Tuning(session, [trial(LEARNERS["linear"], -1.0)])  # better than what can be
    monkeypatch.setattr("pawl.ensembling.tuning._PATIENCE", 8)
    tuning.run(count=100)
    assert tuning.over
    assert len(tuning.trials) == 9


def test_where_trials_are_counted_a_fourth_as_many_settings_are_tried() -> None:
    def of(trials: int | None) -> Pace:
        plan = SearchPlan(width=4, quota=8, trials=trials, deadline=None if trials else 9.0)
        return Pace(2, None if trials else 1.0, plan, 3)

    assert [tuned(of(trials)) for trials in (None, 3, 16, 40)] == [0, 0, 4, 10]
