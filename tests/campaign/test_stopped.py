"""A campaign that is asked to end: what it has is compared, tested and delivered, and it says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from campaigns import SEED, StopAt, StoppedError
from made_up import BASE, by_recipe, made_up

import pawl
from pawl import api
from pawl.evidence import Pairs, confirm, sequential_p, spending
from pawl.evidence.confirmation import ConfirmationEffort
from pawl.evidence.sequential import LOOKS, look_by_look
from pawl.ledger import Ledger, ask_to_stop, read_progress
from pawl.recipe import Recipe


class AskAt:
    """A listener that asks the campaign to end when a phase begins for the second time."""

    def __init__(self, folder: Path, phase: str, number: int = 2) -> None:
        self.folder, self.wanted, self.number = folder, phase, number
        self.phases: list[str] = []

    def phase(self, name: str, detail: str) -> None:
        self.phases.append(name)
        if self.phases.count(self.wanted) == self.number and name == self.wanted:
            ask_to_stop(self.folder)

    def progress(self, *, trials: int, best: float | None, left: float | None) -> None:
        pass


def test_what_was_found_is_compared_tested_and_delivered(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    """With a budget; `serving/test_serving_browser.py` has one that is counted in trials."""
    out = tmp_path / "out"
    listener = AskAt(out, "search")
    result = api.optimize(
        str(files[0]), test=str(files[1]), seed=SEED, out=out, families=["nets"], listener=listener,
        only=["adamw", "dropout", "width"], executor="inline", average=1, budget="10m",
    )  # fmt: skip
    assert [f.rule for f in result.summary.findings].count("stopped_early") == 1
    assert listener.phases.count("search") == 2
    assert {"confirm", "test", "deploy"} <= set(listener.phases)
    assert "screen" not in listener.phases
    assert result.summary.test_touches == 1
    with Ledger.open(out) as ledger:
        units = [unit.key for unit in ledger.units("search")]
        assert units == ["search/0", "search/1"]
        (stop,) = ledger.decisions("stopped")
        assert stop["elapsed"] < stop["until"] < 600.0
    found = read_progress(out)
    assert found is not None
    assert (found.pid, found.working) == (0, False)


def test_gone_on_with_it_still_ends(files: tuple[Path, Path], tmp_path: Path) -> None:
    """What was decided when it was asked stays, though the process was killed after that."""
    out = tmp_path / "out"

    class AskAndDie(AskAt):
        def phase(self, name: str, detail: str) -> None:
            super().phase(name, detail)
            StopAt("deploy").phase(name, detail)

    options: dict[str, Any] = {"only": ["adamw", "dropout"], "executor": "inline"}
    with pytest.raises(StoppedError):
        api.optimize(
            str(files[0]), test=str(files[1]), seed=SEED, out=out, trials=12,
            listener=AskAndDie(out, "search"), **options,
        )  # fmt: skip
    (out / ".stop").unlink()  # it is on record by now
    result = api.optimize(resume=out)
    assert [f.rule for f in result.summary.findings].count("stopped_early") == 1
    with Ledger.open(out) as ledger:
        assert len(ledger.units("search")) == 2


def test_who_asks_in_a_comparison_gets_no_more_of_alpha(tmp_path: Path) -> None:
    """Whoever asks has seen results: the look that is taken is worth what it was planned to be."""
    better = Recipe.of(standardize={}, adamw={"learning_rate": 0.01})
    with made_up(tmp_path, by_recipe({BASE.id: 1.0, better.id: 0.98})) as session:
        ask_to_stop(session.ledger.folder)
        found = confirm(session, BASE, better, ConfirmationEffort(screen=False, looks=LOOKS))
    assert found.headline is not None
    assert found.headline.n == LOOKS[0]
    share = spending(LOOKS)[LOOKS[0]]
    assert found.p_value == pytest.approx(
        sequential_p([found.headline.p_value], LOOKS[:1], [share])
    )
    assert found.p_value > found.headline.p_value


@pytest.mark.parametrize("floor", [None, 900.0, 1.0])
def test_once_pairs_are_there_the_end_is_all_that_must_be_left(
    tmp_path: Path, floor: float | None
) -> None:
    better = Recipe.of(standardize={}, adamw={"learning_rate": 0.01})
    with made_up(tmp_path, by_recipe({BASE.id: 1.0, better.id: 0.98})) as session:
        session.clock.floor, session.clock.reserve = floor, 30.0
        pairs = Pairs(session, "confirm", session.rows.parts[1])
        arms = {"baseline": BASE}
        look_by_look(session, pairs, better, arms, LOOKS[:1], "headline", what="it")
        assert session.clock.floor == (None if floor is None else min(floor, 30.0))


def test_a_function_ends_when_it_is_asked(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def train(settings: dict[str, Any], seed: int) -> float:
        if (out / "ledger.sqlite").is_file():
            ask_to_stop(out)
        return -((settings["x"] - 2.0) ** 2) + 0.001 * (seed % 7)

    task = pawl.FunctionTask(train=train, settings={"x": (0.0, 5.0)}, baseline={"x": 0.5})
    result = pawl.tune(task, trials=50, out=out, executor="inline")
    assert result.summary.runs < 30
    assert (out / "report.html").is_file()
