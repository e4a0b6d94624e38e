"""Tables of very many rows: trainings draw some of them until the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from campaigns import summary_of
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import frame, problem

import pawl
from pawl import pacing
from pawl.errors import BudgetError
from pawl.execution import Session
from pawl.execution.rows import Rows
from pawl.ledger import Ledger
from pawl.pacing.sizes import fewer_rows
from pawl.search import baseline


def test_as_many_rows_as_some_hundred_trainings_have_time_for() -> None:
    # 240 trainings of 3 passes take 72 s over a thousandth of the rows: a second for all, 0.1 for these.
    assert fewer_rows(72.0, per_epoch=10.0, rows=1_000_000) == 10_000
    assert fewer_rows(72.0, per_epoch=10.0, rows=100_000) is None  # a thousand are too few
    assert fewer_rows(1e6, per_epoch=1.0, rows=50_000) is None  # all of them fit
    assert fewer_rows(8.0, per_epoch=10.0, rows=100_000, passes=4) == 20_000


def test_where_not_even_one_pass_fits_the_baseline_trains_on_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a pass took a hundred seconds."""
    monkeypatch.setattr(pacing.sizes, "seconds_per_epoch", lambda *_, **__: 100.0)
    monkeypatch.setattr(pacing.sizes, "_FEWEST_ROWS", 10)
    with Ledger.create(tmp_path / "out", {}) as ledger:
        session = Session(problem("table"), ledger, 0, budget=90.0)
        session.clock.export_seconds = 0.1
        every = len(session.rows.search[0])
        found = pacing.pace(session, baseline(session.facts), None)
        assert found.rows is not None
        assert 10 <= found.rows < every / 4
        assert found.epochs == 1
        assert found.seconds_per_trial == pytest.approx(100.0 * found.rows / every)
        assert found.search.deadline == 0.0  # no search
        assert len(session.rows.search[0]) <= 1.1 * found.rows
        monkeypatch.setattr(pacing.sizes, "_FEWEST_ROWS", 1000)
        short = Session(problem("table"), Ledger.create(tmp_path / "other", {}), 0, budget=90.0)
        short.clock.export_seconds = 0.1
        with short.ledger, pytest.raises(BudgetError, match="too short for this data: one pass"):
            pacing.pace(short, baseline(short.facts), None)


@settings(deadline=None, max_examples=40)
@given(st.integers(20, 90), st.integers(0, 2**31))
def test_parts_are_drawn_by_seed_and_stay_apart(most: int, seed: int) -> None:
    one = problem("table")
    whole, few, again = (Rows(one, seed, n) for n in (None, most, most))
    train, valid = few.search
    assert len(train) <= 1.1 * most
    assert len(valid) <= 1.1 * most
    assert torch.equal(train, again.search[0])
    assert not set(train.tolist()) & set(valid.tolist())
    for mine, every in zip(few.parts, whole.parts, strict=True):
        assert set(mine.tolist()) <= set(every.tolist())
    split = few.resplit("race", 1, few.parts[0], 3)
    assert len(split.train) + len(split.valid) <= 1.1 * most
    assert not {*split.train.tolist(), *split.valid.tolist()} & set(split.holdout.tolist())


def test_other_splits_draw_other_rows() -> None:
    rows = Rows(problem("table"), 0, 60)
    first, second = (rows.resplit("confirm", n, rows.parts[1], 5).train for n in (0, 5))
    assert set(first.tolist()) != set(second.tolist())


def test_at_the_end_as_many_as_there_is_time_for(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "out", {}) as ledger:
        session = Session(problem("table"), ledger, 0, budget=1000.0)
        session.clock.export_seconds = 0.1
        plan = pacing.Pace(
            3, 100.0, pacing.sizes.SearchPlan(2, 2, None, 1.0), seeds=2, fresh=2, rows=50
        )
        every = len(session.problem.targets)
        slow = pacing.rows_at_end(session, plan)
        quick = pacing.rows_at_end(session, replace(plan, seconds_per_trial=1e-3))
        assert slow is not None
        assert 50 <= slow < every
        assert quick == every
        assert pacing.rows_at_end(session, replace(plan, rows=None)) is None
        assert pacing.seeds(session, plan, 0, most=slow) == 2


def test_a_campaign_says_how_many_rows_its_trainings_drew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if there were too many: how many that is depends on the machine."""
    planned = pacing.pace

    def pace(session: Session, *given: Any) -> pacing.Pace:
        session.take_few(100)
        return replace(planned(session, *given), rows=100, seeds=2, fresh=2)

    monkeypatch.setattr(pacing, "pace", pace)
    result = pawl.optimize(frame(300), target="target", trials=3, epochs=2, out=tmp_path / "out")
    found = {each["rule"]: each["evidence"] for each in summary_of(tmp_path / "out")["findings"]}
    assert "drew 100 of them" in found["part_of_rows"]
    assert "all 240 development rows" in found["part_of_rows"]
    assert len(result.predict(frame(300))) == 300
