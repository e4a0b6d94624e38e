"""What is a failed trial, and what is not: what the outside raises ends the work as it was raised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from problems import frame, member, plain, problem, problem_of
from torch import Tensor, nn

from pawl import api, pacing
from pawl.data import ModelSpec
from pawl.errors import BudgetError, TaskError
from pawl.execution import Heartbeat, Plan, Session, TrainingWay
from pawl.execution.clock import OutOfTime
from pawl.ledger import Ledger
from pawl.search import SearchPlan, baseline, search
from pawl.search.board import Board
from pawl.search.failures import run_or_record
from pawl.search.protocols import Params
from pawl.search.seat import Searched, Seat
from pawl.task import Task
from pawl.training.population import Member
from pawl.training.problem import Problem

COUNT = 8


def make(number: int, _: Params) -> tuple[Member, ...]:
    split = member(plain(), 0)
    return (Member(plain(), number, split.train, split.valid, 12),)


def generation(one: Problem, width: int = 4, heartbeat: Heartbeat = lambda: None) -> list[Searched]:
    """Trains eight configurations of one recipe, which differ in their seeds."""
    with Board(({"index": i} for i in range(COUNT)), lockstep=True) as board:
        seat = Seat(lambda report: board.ask(0, report)[0], make)
        plan = Plan(TrainingWay("serial", width), "for the test")
        done = run_or_record(one, plan, seat, width, heartbeat=heartbeat)
    assert [each.params["index"] for each in done] == [each.number for each in done]
    return done


class Fragile(nn.Module):
    """Raises in training when its weights happen to be so, once it is armed."""

    error: Exception | None = None

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.layer = nn.Linear(spec.num_features, spec.num_outputs)
        self.register_buffer("luck", torch.rand(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.error and self.training and float(self.get_buffer("luck")) < 0.4:
            raise self.error
        return self.layer(x)


# That a model has no parameters to take the `next` of, say, does not end the search.
@pytest.mark.parametrize("error", [RuntimeError("out of luck\nas it were"), StopIteration("dry")])
@pytest.mark.parametrize("width", [1, 4])
def test_configurations_that_raise_fail_and_no_others(
    monkeypatch: pytest.MonkeyPatch, error: Exception, width: int
) -> None:
    one = problem_of(Task(data=frame(), model=Fragile))
    unlucky = {
        number
        for number in range(COUNT)
        if float(one.builder(make(number, {})[0].seed).get_buffer("module.luck")) < 0.4
    }
    assert 0 < len(unlucky) < COUNT
    monkeypatch.setattr(Fragile, "error", error)
    done = generation(one, width)
    assert sorted(each.number for each in done) == list(range(COUNT))
    failed = {each.number: each.outcome for each in done if each.outcome.status == "failed"}
    assert set(failed) == unlucky
    first = str(error).splitlines()[0]
    assert {o.reason for o in failed.values()} == {f"{type(error).__name__}: {first}"}
    assert {each.outcome.status for each in done} == {"failed", "completed", "pruned"}


def test_a_population_too_large_for_memory_starts_again_at_half_its_width() -> None:
    armed: list[bool] = []
    refused: list[int] = []

    class Greedy(nn.Module):
        def __init__(self, spec: ModelSpec) -> None:
            super().__init__()
            self.layer = nn.Linear(spec.num_features, spec.num_outputs)

        def forward(self, x: Tensor) -> Tensor:
            if armed and self.training and len(refused) < 3:
                refused.append(len(x))
                raise torch.OutOfMemoryError("too much")
            return self.layer(x)

    one = problem_of(Task(data=frame(), model=Greedy))
    armed.append(True)
    done = generation(one)
    # At widths 4 and 2 all are tried again; at width 1 it is the first one's own.
    assert [each.number for each in done if each.outcome.status == "failed"] == [0]
    assert {each.outcome.reason for each in done} == {"out of memory", ""}
    assert sorted(each.number for each in done) == list(range(COUNT))


@pytest.mark.parametrize(
    "error", [KeyError("x"), RuntimeError("not enough memory"), BudgetError("spent"), OutOfTime()]
)
@pytest.mark.parametrize("beats", [0, 1, 5])
def test_what_a_heartbeat_raises_is_passed_on(error: Exception, beats: int) -> None:
    left = iter(range(beats))

    def beat() -> None:
        if next(left, None) is None:
            raise error

    with pytest.raises(type(error)) as caught:
        generation(problem("table"), heartbeat=beat)
    assert caught.value is error


def test_a_metric_that_raises_is_the_tasks_fault() -> None:
    armed: list[bool] = []

    def fussy(targets: object, predictions: object) -> float:
        if armed:
            raise ValueError("never good enough")
        return 0.0

    one = problem_of(Task(data=frame(), metric=fussy, direction="maximize"))
    armed.append(True)
    with pytest.raises(TaskError, match="never good enough"):
        generation(one)


class Tired:
    """A listener that hears a search begin to train, and then does something."""

    def __init__(self, then: Callable[[], None]) -> None:
        self.then, self.heard, self.searching = then, 0, False

    def phase(self, name: str, detail: str) -> None:
        self.searching = name == "search"

    def progress(self, *, trials: int, best: float | None, left: float | None) -> None:
        self.heard += self.searching
        if self.heard > 2:
            self.then()


def raising(error: Exception) -> Tired:
    def then() -> None:
        raise error

    return Tired(then)


PLAN = SearchPlan(width=2, quota=4, trials=4, deadline=None)


@pytest.mark.parametrize("executor", ["inline", "processes"])
@pytest.mark.parametrize("error", [ZeroDivisionError("enough"), StopIteration("enough")])
def test_what_a_listener_raises_ends_a_search(
    tmp_path: Path, executor: str, error: Exception
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with Ledger.create(tmp_path / "out", {}) as ledger:
            session = Session(
                problem("table"), ledger, 0, listener=raising(error), executor=executor,  # type: ignore[arg-type]
            )  # fmt: skip
            with pytest.raises(type(error)) as caught:
                search(session, baseline(session.facts), PLAN)
            assert caught.value is error
            assert not ledger.trials()
    finally:
        torch.set_num_threads(threads)


def test_running_out_of_time_is_no_failed_trial(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "out", {}) as ledger:
        session = Session(problem("table"), ledger, 0, budget=100.0, executor="inline")
        session.listener = Tired(lambda: setattr(session.clock, "floor", 1000.0))
        with pytest.raises(OutOfTime):
            search(session, baseline(session.facts), PLAN)
        assert not ledger.trials()


def test_what_a_listener_raises_ends_a_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing.sizes, "_STEPS", 20)
    error = ZeroDivisionError("enough")
    with pytest.raises(ZeroDivisionError) as caught:
        api.optimize(
            frame(), target="target", trials=4, out=tmp_path / "out", executor="inline",
            listener=raising(error),
        )  # fmt: skip
    assert caught.value is error
    with Ledger.open(tmp_path / "out") as ledger:
        assert not ledger.trials("search")
