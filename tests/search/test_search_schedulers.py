"""Schedulers: which members go on, by made-up scores; users' own; and what one does wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import frame, problem

import pawl
from pawl.errors import TaskError
from pawl.execution import Session
from pawl.ledger import Ledger, TrialRecord
from pawl.search import (
    Halving,
    Median,
    SearchPlan,
    Strategy,
    ToTheEnd,
    baseline,
    make_scheduler,
    register_scheduler,
    schedulers,
    search,
    unregister_scheduler,
)


@dataclass(frozen=True)
class Strict:
    """Prunes everything but the best at one rung."""

    shares: tuple[float, ...] = (0.5,)

    def goes_on(self, rung: int, score: float, seen: Sequence[float]) -> bool:
        return score >= max(seen)


@pytest.fixture(autouse=True)
def _own() -> Iterator[None]:
    register_scheduler("of_ones_own", lambda _: Strict())
    yield
    unregister_scheduler("of_ones_own")


NAMES = ("halving", "hyperband", "median", "none", "of_ones_own", "pbt")


def test_all_are_listed() -> None:
    assert schedulers() == NAMES


@pytest.mark.parametrize("name", NAMES)
@given(seen=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_the_best_goes_on_and_a_better_score_never_fares_worse(
    name: str, seen: list[float]
) -> None:
    scheduler = make_scheduler(name, 0)
    for rung in range(len(scheduler.shares)):
        ordered = sorted(seen)
        verdicts = [scheduler.goes_on(rung, score, seen) for score in ordered]
        assert verdicts[-1]
        assert verdicts == sorted(verdicts)
        assert verdicts == [scheduler.goes_on(rung, score, seen) for score in ordered]


def test_known_answers() -> None:
    scores = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert [Halving().goes_on(0, x, scores) for x in scores] == [False] * 4 + [True] * 2
    halved = Halving(reduction=2)
    assert [halved.goes_on(0, x, scores) for x in scores] == [False] * 3 + [True] * 3
    assert [Median().goes_on(0, x, scores) for x in scores] == [False] * 3 + [True] * 3
    assert all(ToTheEnd().goes_on(0, x, scores) for x in scores)


def searched(folder: Path, name: str) -> list[TrialRecord]:
    """Trials of two generations of four members each."""
    with Ledger.create(folder, {}) as ledger:
        session = Session(problem("table"), ledger, 0, epochs=9)
        plan = SearchPlan(width=4, quota=4, trials=8, deadline=None)
        return search(session, baseline(session.facts), plan, Strategy(scheduler=name))


@pytest.mark.parametrize("name", ["none", "of_ones_own"])
def test_a_search_takes_it(tmp_path: Path, name: str) -> None:
    found = searched(tmp_path / "out", name)
    assert ("pruned" in {trial.status for trial in found}) == (name == "of_ones_own")
    rungs = {rung for trial in found for rung in trial.extra["rungs"]}
    assert rungs == (set() if name == "none" else {"0"})


class Raises(Strict):
    def goes_on(self, rung: int, score: float, seen: Sequence[float]) -> bool:
        raise ValueError("no idea")


def test_what_one_does_wrong_is_one_line(tmp_path: Path) -> None:
    for wrong in ((0.5, 0.2), (0.0, 0.5), (0.5, 1.0)):
        register_scheduler("wrong", lambda _, wrong=wrong: Strict(wrong))  # type: ignore[misc]
        try:
            with pytest.raises(TaskError, match="allowed are rising numbers between 0 and 1"):
                make_scheduler("wrong", 0)
        finally:
            unregister_scheduler("wrong")
    register_scheduler("wrong", lambda _: Raises())
    try:
        with pytest.raises(TaskError, match="the scheduler 'wrong' raised ValueError: no idea"):
            searched(tmp_path / "out", "wrong")
    finally:
        unregister_scheduler("wrong")
    with pytest.raises(TaskError, match=r"unknown search 'halvin' \(did you mean 'halving'"):
        pawl.optimize(frame(), target="target", trials=4, search="halvin", out=tmp_path / "o")
    with pytest.raises(TaskError, match="exists already"):
        register_scheduler("median", lambda _: Strict())
