"""A proven recipe does not keep what is shown to harm it; real trainings throughout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from problems import frame

from pawl.data import load
from pawl.evidence import ALPHA, ConfirmationEffort, Single, confirm, lead
from pawl.execution import Session, pick_device
from pawl.ledger import Ledger
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.training.problem import Problem

PLAIN = Recipe.of(
    standardize={}, batch_size={"size": 32}, adamw={"learning_rate": 1e-5, "weight_decay": 1e-4}
)
"""A baseline that hardly learns, so that a higher learning rate is a proven gain."""
USEFUL = PLAIN.with_("adamw", learning_rate=0.01)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    task = Task(data=frame(300, regression=True), target="target")
    problem = Problem.of(task, load(task, seed=0), pick_device("cpu"))
    with Ledger.create(tmp_path / "campaign", {}) as ledger:
        yield Session(problem, ledger, 0, epochs=15)


def test_what_is_shown_to_harm_is_dropped(session: Session) -> None:
    candidate = USEFUL.with_("noise", deviation=1.0)
    found = confirm(session, PLAIN, candidate, ConfirmationEffort(screen=False, looks=(5,)))
    assert found.candidate == Single(candidate)
    assert found.proven
    verdicts = {v.change.name: v for v in found.verdicts}
    assert verdicts["noise"].verdict == "rejected"
    assert not verdicts["noise"].in_final
    assert (verdicts["adamw"].verdict, verdicts["adamw"].in_final) == ("kept", True)
    assert "noise" not in lead(found.delivered)
    assert found.delivered != Single(PLAIN)
    # The claim is on what goes on: it is the final recipe that is compared with the baseline.
    assert found.headline is not None
    assert found.p_value is not None
    assert found.headline.effect > 0
    assert verdicts["noise"].comparison is not None
    assert found.headline.effect > -verdicts["noise"].comparison.effect
    assert (verdicts["noise"].p_value or 1) <= found.p_value <= ALPHA


def test_of_several_that_harm_the_worst_goes(session: Session) -> None:
    candidate = USEFUL.with_("dropout", rate=0.6).with_("noise", deviation=1.0)
    found = confirm(session, PLAIN, candidate, ConfirmationEffort(screen=False, looks=(10,)))
    harmful = {v.change.name for v in found.verdicts if v.verdict == "rejected"}
    assert harmful == {"dropout", "noise"}
    assert "noise" not in lead(found.delivered)
    left = {change.name for change in lead(found.delivered).changes(PLAIN)}
    assert left < {change.name for change in candidate.changes(PLAIN)}
    assert {v.change.name for v in found.verdicts if v.in_final} == left


def test_a_recipe_that_nothing_harms_stays_as_it_is(session: Session) -> None:
    found = confirm(session, PLAIN, USEFUL, ConfirmationEffort(screen=False, looks=(5,)))
    assert found.proven
    assert found.delivered == found.candidate == Single(USEFUL)
    assert [(v.change.name, v.in_final) for v in found.verdicts] == [("adamw", True)]


def test_a_recipe_that_is_not_shown_to_help_gives_way_to_the_baseline(session: Session) -> None:
    found = confirm(session, USEFUL, PLAIN, ConfirmationEffort(screen=False, looks=(5,)))
    assert not found.proven
    assert found.delivered == Single(USEFUL)
    assert not [v for v in found.verdicts if v.in_final]


def test_rows_for_stopping_train_a_recipe_that_does_not_stop(session: Session) -> None:
    split = session.rows.resplit("confirm", 0, session.rows.parts[1], 5)
    stops = session.rows.member(
        PLAIN.with_("early_stopping"), 0, split.train, split.valid, session.epochs
    )
    goes_on = session.rows.member(PLAIN, 0, split.train, split.valid, session.epochs)
    assert torch.equal(stops.train, split.train)
    assert torch.equal(stops.valid, split.valid)
    both = torch.cat([split.train, split.valid]).sort().values
    assert torch.equal(goes_on.train, both)
    assert len(goes_on.valid) == 0
    assert not set(both.tolist()) & set(split.holdout.tolist())
