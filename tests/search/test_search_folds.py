"""Trials that are scored by the mean over folds: rows, rungs, outcomes, and whole searches."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from problems import frame, member, plain, problem

import pawl
from pawl.errors import TaskError
from pawl.execution import Plan, Session, TrainingWay, over_folds
from pawl.execution.rows import Rows
from pawl.ledger import Ledger, TrialRecord
from pawl.search import SearchPlan, Strategy, baseline, search
from pawl.search.board import Board
from pawl.search.failures import run_or_record
from pawl.search.protocols import Params
from pawl.search.seat import Configuration, Searched, Seat
from pawl.training.fused import FusedStepper
from pawl.training.population import Member, Population
from pawl.training.run import Outcome, Point, Run

EPOCHS, FOLDS = 12, 3
RATES = (0.03, 1e-4, 0.05, 2e-4, 0.02)


def outcome(status: str, score: float | None, steps: int = 4) -> Outcome:
    points = tuple(Point(i, 1.0 / i, float(i)) for i in range(1, steps + 1))
    return Outcome(member(plain()), status, score, steps, points, seconds=1.5)  # type: ignore[arg-type]


def test_folds_are_of_the_rows_that_choices_are_judged_on() -> None:
    rows = Rows(problem("table"), seed=3)
    selection, proof = rows.parts
    assert rows.searched(1) == (rows.search,)
    splits = rows.searched(FOLDS)
    assert torch.equal(
        torch.cat([valid for _, valid in splits]).sort().values, selection.sort().values
    )
    for train, valid in splits:
        assert not torch.isin(valid, train).any()
        assert torch.isin(proof, train).all()
        assert len(train) + len(valid) == len(problem("table").targets)
    again = Rows(problem("table"), seed=3).searched(FOLDS)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(splits, again, strict=True))


def test_more_folds_than_rows_of_a_class_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"got .*folds.* make \d+ at most; give fewer") as caught:
        pawl.optimize(frame(60), folds=20, trials=5, out=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_outcome_over_folds_is_their_mean_and_their_worst_end() -> None:
    one = outcome("completed", 0.5)
    assert over_folds([one]) is one
    both = over_folds([one, outcome("stopped", 0.9, steps=2)])
    assert (both.status, both.score, both.steps, both.seconds) == ("completed", 0.7, 6, 3.0)
    assert [point.step for point in both.curve] == [1, 2]
    assert both.curve[1].valid_score == 2.0
    bad = over_folds([one, outcome("diverged", None), outcome("pruned", 0.1)])
    assert (bad.status, bad.score) == ("diverged", None)
    assert over_folds([one, outcome("pruned", 0.1)]).status == "pruned"


def test_a_rung_is_reached_when_all_folds_have_passed_it() -> None:
    each = Configuration(0, {}, (member(plain()),) * 3)
    each.passed = {0: {0: 0.1, 1: 0.2}}
    assert each.reached() is None
    each.passed[0][2] = 0.6
    assert each.reached() == (0, pytest.approx(0.3))
    assert each.reached() is None  # that is no news
    each.passed[1] = {0: 0.5, 2: 0.7}
    assert each.reached() is None
    each.ended[1] = outcome("stopped", 0.9), 0.9
    assert each.reached() == (1, pytest.approx(0.7))
    assert not each.over


def make(number: int, _: Params) -> tuple[Member, ...]:
    recipe = plain(momentum={"learning_rate": RATES[number]})
    splits = [member(recipe, fold) for fold in range(FOLDS)]
    return tuple(
        Member(recipe, 10 * number + fold, one.train, one.valid, EPOCHS)
        for fold, one in enumerate(splits)
    )


def generation(mode: str) -> dict[int, Searched]:
    """Trains the rates, four at once, on all folds of each."""
    way = TrainingWay(mode, 4 * FOLDS)  # type: ignore[arg-type]
    points = ({"index": i} for i in range(len(RATES)))
    with Board(points, lockstep=True) as board:
        seat = Seat(lambda report: board.ask(0, report)[0], make, folds=FOLDS)
        found = run_or_record(problem("table"), Plan(way, ""), seat, 4, heartbeat=lambda: None)
    return {each.number: each for each in found}


def test_a_configuration_is_judged_by_its_folds_together() -> None:
    fused = generation("fused")
    serial = generation("serial")
    assert sorted(fused) == sorted(serial) == list(range(len(RATES)))
    assert {each.outcome.status for each in fused.values()} == {"completed", "pruned"}
    for number, each in fused.items():
        assert each.outcome.status == serial[number].outcome.status
        assert each.outcome.score == pytest.approx(serial[number].outcome.score, abs=1e-4)
        assert each.outcome.score == pytest.approx(fmean(s for s in each.folds if s is not None))
        assert len(each.folds) == FOLDS
    best = next(each for each in fused.values() if each.outcome.status == "completed")
    for fold, one in enumerate(make(best.number, {})):
        run = Run(Population(problem("table"), [one], FusedStepper()))
        while not run.finished():
            run.segment()
        (alone,) = run.release(run.finished())
        assert alone.score == pytest.approx(best.folds[fold], abs=1e-4)
    # Rungs hold means of all folds, so no two folds were judged apart.
    assert all(math.isfinite(score) for each in fused.values() for score in each.rungs.values())


def searched(folder: Path, name: str, folds: int, executor: Any = "inline") -> list[TrialRecord]:
    with Ledger.create(folder, {}) as ledger:
        session = Session(problem("table"), ledger, 0, epochs=6, executor=executor)
        plan = SearchPlan(width=4, quota=4, trials=8, deadline=None)
        strategy = Strategy.of(name)._replace(folds=folds)
        return search(session, baseline(session.facts), plan, strategy)


@pytest.mark.parametrize("name", ["edits", "random,pbt"])
def test_a_search_by_folds_keeps_the_score_of_each(tmp_path: Path, name: str) -> None:
    trials = searched(tmp_path / "one", name, FOLDS)
    assert len(trials) == 8
    for trial in trials:
        folds = trial.extra["folds"]
        assert len(folds) == FOLDS
        if trial.status in ("completed", "stopped", "pruned"):
            assert trial.score == pytest.approx(fmean(folds))
    assert all("folds" not in t.extra for t in searched(tmp_path / "plain", name, 1))


@pytest.mark.slow
def test_a_search_by_folds_is_the_same_with_two_workers(tmp_path: Path) -> None:
    one, two = (searched(tmp_path / e, "genetic", 2, e) for e in ("inline", "processes"))
    assert [(t.recipe_id, t.status) for t in one] == [(t.recipe_id, t.status) for t in two]
