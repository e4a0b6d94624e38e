"""The end of a campaign, and the recipe that there is time to compare."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from problems import plain, problem

from pawl import pacing
from pawl.evidence import Arm, Blend, ConfirmationEffort, Single
from pawl.execution import Session, available
from pawl.execution.spending import waiting
from pawl.ledger import Ledger, TrialRecord
from pawl.pacing import ConfirmationPlan, proof
from pawl.pacing.end import ending, scoring
from pawl.recipe import Recipe


def test_the_end_follows_exports_models_and_waiting(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "out", {}) as ledger:
        session = Session(problem("table"), ledger, 0, budget=100.0)
        session.clock._begun = time.monotonic() - 1000.0, waiting()
        side_by_side = min(2, available())
        quiet = ending(session, 1)
        assert quiet == pytest.approx(1.25 * (2.0 / side_by_side + 6.0), rel=0.01)
        # More of the same recipe cost little: it is traced once. More recipes cost more.
        # And one of them is exported by itself, to tell what it costs.
        assert ending(session, 5) == pytest.approx(1.25 * (3.32 / side_by_side + 6.0), rel=0.01)
        blend = ending(session, 2, 3)
        assert ending(session, 5) < blend < ending(session, 2, 4)
        session.clock._begun = time.monotonic() - 1000.0, waiting() - 500.0
        assert ending(session, 1) == pytest.approx(2 * quiet, rel=0.02)
        session.clock.export_seconds = 0.01
        assert ending(session, 1) > 1.0  # the report costs something whatever the model


def test_learners_take_time_to_predict_the_test_rows(tmp_path: Path) -> None:
    trees, lines = Recipe.of(lightgbm={}), Recipe.of(standardize={}, linear={})
    with Ledger.create(tmp_path / "out", {}) as ledger:
        session = Session(problem("table"), ledger, 0, budget=100.0)
        session.clock._begun = time.monotonic() - 1000.0, waiting()
        session.test_rows = 1000
        tried = TrialRecord(
            phase="learners", role="lightgbm", recipe=trees.to_dict(), recipe_id=trees.id, seed=0,
            split="search", epochs=1, status="completed", score=0.9, predicting=1e-3,
        )  # fmt: skip
        ledger.record("learners/0", "learners", {}, [tried], 1.0)
        once = scoring(session)([trees], 1)
        # A millisecond a row: a second in as many processes as there are, and a third by the graph.
        assert once == pytest.approx(1.25 * (1 / min(2, available()) + 1 / 3), rel=0.01)
        assert scoring(session)([trees, lines], 3) == pytest.approx(3 * once, rel=0.01)
        assert scoring(session)([lines], 3) == 0.0  # what was not timed is not counted


def test_what_is_compared_is_the_first_that_there_is_time_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = [Single(plain(dropout={"rate": 0.05 * rate})) for rate in range(1, 10)]
    asked: list[int] = []
    fits: set[int] = set()

    def plan_confirmation(*given: object, searched: bool) -> ConfirmationPlan:
        assert searched
        place = arms.index(given[3])  # type: ignore[arg-type]
        asked.append(place)
        return ConfirmationPlan(
            ConfirmationEffort(screen=False, looks=(5,) if place in fits else ()), float(place)
        )

    monkeypatch.setattr(proof, "plan_confirmation", plan_confirmation)
    with Ledger.create(tmp_path / "out", {}) as ledger:
        session = Session(problem("table"), ledger, 0, budget=100.0)
        pace = pacing.Pace(epochs=1, seconds_per_trial=1.0, search=None, seeds=5)  # type: ignore[arg-type]

        def chosen(*which: int) -> tuple[int, tuple[int, ...]]:
            asked.clear()
            fits.clear()
            fits.update(which)
            place, found = pacing.comparable(session, pace, plain(), arms)
            return place, found.effort.looks

        assert chosen(0, 1) == (0, (5,))
        assert asked == [0]  # the candidate alone is timed where there is time for it
        assert chosen(2, 3) == (2, (5,))
        assert chosen() == (0, ())
        assert chosen(8) == (0, ())  # timing costs time as well
        assert asked == [*range(8)]


def test_blends_come_first_where_there_is_time_for_enough_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = [plain(dropout={"rate": 0.05 * rate}) for rate in range(1, 5)]
    times: dict[str, float] = {}

    def plan_confirmation(*given: object, searched: bool) -> ConfirmationPlan:
        del searched
        pairs = times[given[3].id]  # type: ignore[attr-defined]
        looks = (5,) if pairs >= 2 else ()
        return ConfirmationPlan(ConfirmationEffort(screen=False, looks=looks), 0.0, pairs)

    monkeypatch.setattr(proof, "plan_confirmation", plan_confirmation)
    with Ledger.create(tmp_path / "out", {}) as ledger:
        session = Session(problem("table"), ledger, 0, budget=100.0)
        pace = pacing.Pace(epochs=1, seconds_per_trial=1.0, search=None, seeds=5)  # type: ignore[arg-type]

        def chosen(arms: list[Arm], *pairs: float, worse: Sequence[int] = ()) -> int:
            times.update(zip([arm.id for arm in arms], pairs, strict=True))
            behind = {arms[place].id for place in worse}
            return pacing.comparable(session, pace, plain(), arms, behind=behind)[0]

        with_trees = [Recipe.of(lightgbm={}), *networks]
        arms = [*(Blend(tuple(with_trees[:size])) for size in (4, 3, 2)), Single(networks[0])]
        assert chosen(arms, 20, 20, 20, 20) == 0
        assert chosen(arms, 5, 7, 8, 20) == 2  # the smaller blend that has more pairs
        assert (
            chosen(arms, 5, 6, 7, 20) == 0
        )  # a recipe on its own never has a blend's place for them
        assert chosen(arms, 4, 5, 6, 20) == 1
        assert chosen(arms, 2, 3, 4, 5) == 3  # but where a fold would have no pair
        assert chosen(arms, 1, 2, 3, 4) == 1
        # What is behind takes nobody's place who can be compared at all.
        assert chosen(arms, 2, 3, 4, 5, worse=[3]) == 0
        assert chosen(arms, 1, 1, 1, 5, worse=[3]) == 3
        assert chosen(arms, 1, 1, 1, 1, worse=[3]) == 0
        alone = [Single(networks[0]), *(Blend(tuple(networks[:size])) for size in (3, 2))]
        assert chosen(alone, 19, 19, 19) == 0
        assert chosen(alone, 50, 19, 20) == 2  # networks alone only where all looks fit
        assert chosen(alone, 4, 4, 5) == 2
        monkeypatch.setattr(proof, "_FEW_ROWS", 1)  # where many rows prove, few pairs say enough
        assert chosen(arms, 5, 7, 8, 20) == 0
        assert chosen(arms, 4, 5, 8, 20) == 1
        assert chosen(arms, 2, 3, 4, 20) == 0


def test_what_there_is_time_for_is_found_out_however_little_is_left(tmp_path: Path) -> None:
    arms = [Single(plain(dropout={"rate": rate})) for rate in (0.1, 0.2)]
    with Ledger.create(tmp_path / "out", {}) as ledger:
        session = Session(problem("table"), ledger, 0, budget=1.0)
        session.clock.floor = 1e6
        pace = pacing.Pace(epochs=1, seconds_per_trial=1.0, search=None, seeds=5)  # type: ignore[arg-type]
        assert pacing.comparable(session, pace, plain(), arms)[1].effort.looks == ()
        assert session.clock.floor == 1e6
