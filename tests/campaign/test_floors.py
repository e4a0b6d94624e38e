"""What happens where the time is not enough for what was planned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from campaigns import summary_of
from problems import frame, problem

from pawl import api, pacing
from pawl.execution import Session
from pawl.ledger import Ledger, TrialRecord
from pawl.pacing.end import FEW_MODELS, ending


def test_a_budget_for_the_baseline_alone_leaves_the_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a search would not fit: whether it does depends on the machine."""
    monkeypatch.setattr(pacing.sizes, "_TRAININGS", ((10**9, 1),))
    monkeypatch.setattr(pacing.sizes, "_BARE_TRAININGS", 10**9)
    frame(240).to_csv(tmp_path / "table.csv", index=False)
    result = api.optimize(str(tmp_path / "table.csv"), budget=600, out=tmp_path / "out")
    summary = summary_of(tmp_path / "out")
    assert summary["trials"] == {"completed": 0, "pruned": 0, "failed": 0, "trained": 5}
    assert summary["techniques"] == []
    assert summary["baseline"] == summary["final"]
    assert summary["final"]["n"] == 5
    assert "could be compared with the baseline within the budget" in summary["gain"]["statement"]
    assert result.recipe.optimizer == "adamw"
    assert "could be compared" in result.report.read_text(encoding="utf-8")
    assert len(result.predict(str(tmp_path / "table.csv"))) == 240


def test_a_unit_that_would_touch_the_end_is_given_up_for_good(tmp_path: Path) -> None:
    begun: list[str] = []

    def session(ledger: Ledger, floor: float | None) -> Session:
        found = Session(problem("table"), ledger, 0, budget=100.0)
        found.clock.floor = floor
        return found

    with Ledger.create(tmp_path / "out", {}) as ledger:
        mine = session(ledger, None)

        def work() -> tuple[dict[str, object], list[TrialRecord]]:
            begun.append("work")
            mine.heartbeat()
            return {"done": True}, []

        assert mine.attempt("first", "confirm", work) is not None
        mine.clock.floor = 200.0  # more than there is: the first look at the clock ends it
        assert mine.attempt("second", "confirm", work) is None
        assert mine.attempt("first", "confirm", work) is not None
        mine.note([])  # counting is not stopped
    with Ledger.open(tmp_path / "out") as ledger:
        assert session(ledger, None).attempt("second", "confirm", work) is None
        assert [unit.key for unit in ledger.units()] == ["first"]
    assert begun == ["work", "work"]


def test_rounds_of_seeds_follow_the_clock(tmp_path: Path) -> None:
    pace = pacing.Pace(epochs=1, seconds_per_trial=1.0, search=None, seeds=5)  # type: ignore[arg-type]
    single = replace(pace, fresh=1)
    with Ledger.create(tmp_path / "out", {}) as ledger:
        plenty = Session(problem("table"), ledger, 0, budget=1e7)
        assert pacing.seeds(plenty, pace, 0, unchanged=False) == 5
        assert pacing.seeds(plenty, pace, 2, unchanged=False) == 3  # what the pairs lack
        assert pacing.seeds(plenty, pace, 5, unchanged=False) == 0
        assert pacing.seeds(plenty, single, 5, unchanged=False) == 1  # one model is of all rows
        assert pacing.more_seeds(plenty, 10, 1, 5, 1.0) == 5
        assert pacing.more_seeds(plenty, 10, 1, 10, 1.0) == 0
        # One that just fits is taken where an interval needs it, and not beyond.
        left = plenty.clock.left - ending(plenty, FEW_MODELS)
        assert [pacing.more_seeds(plenty, 10, 1, done, 0.8 * left) for done in (1, 2)] == [1, 0]
        assert pacing.more_seeds(plenty, 5, 1, 6, 1.0) == 0
        over = Session(problem("table"), ledger, 0, budget=1e-3)
        assert pacing.seeds(over, pace, 0, unchanged=False) == 1  # something must be delivered
        assert pacing.seeds(over, pace, 2, unchanged=False) == 0
        assert pacing.more_seeds(over, 10, 1, 1, 1.0) == 0
        untimed = Session(problem("table"), ledger, 0)
        assert pacing.seeds(untimed, pace, 2, unchanged=False) == 3
        assert pacing.more_seeds(untimed, 10, 1, 5, 1.0) == 0
