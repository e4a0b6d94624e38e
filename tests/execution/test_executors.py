"""Executors: results in order, one thread a worker, and what dies or raises is told."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from problems import frame, member, plain, problem, problem_of
from torch import Tensor, nn

from pawl.data import ModelSpec
from pawl.errors import TaskError
from pawl.execution import Job, Plan, Session, TrainingWay, train_all
from pawl.execution.executors import Heartbeat, Inline, Lost, Processes, can_fork
from pawl.ledger import Ledger
from pawl.task import Task

pytestmark = pytest.mark.skipif(not can_fork(), reason="needs Linux")

EXECUTORS = [Inline(), Processes(2)]


def number(value: int, heartbeat: Heartbeat) -> int:
    heartbeat()
    return value


@pytest.mark.parametrize("executor", EXECUTORS)
def test_results_come_in_order(executor: Any) -> None:
    work = [functools.partial(number, value) for value in range(7)]
    assert executor.run(work, lambda: None) == list(range(7))
    assert executor.run([], lambda: None) == []


@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_work_raises_is_raised_here(executor: Any) -> None:
    class UnpicklableError(RuntimeError):
        pass

    def raise_it(_: Heartbeat) -> None:
        raise UnpicklableError("as it were")

    def refuse(_: Heartbeat) -> None:
        raise TaskError("one clear line")

    with pytest.raises(RuntimeError, match="as it were"):
        executor.run([raise_it, functools.partial(number, 1)], lambda: None)
    with pytest.raises(TaskError, match="one clear line"):
        executor.run([refuse], lambda: None)


def test_workers_are_other_processes_with_one_thread() -> None:
    work = [lambda _: (os.getpid(), torch.get_num_threads())] * 3
    found = Processes(2).run(work, lambda: None)
    assert os.getpid() not in {pid for pid, _ in found}
    assert {threads for _, threads in found} == {1}


def test_what_a_session_spreads_runs_here_where_its_worker_died(tmp_path: Path) -> None:
    here, threads = os.getpid(), torch.get_num_threads()

    def die_elsewhere(_: Heartbeat) -> str:
        if os.getpid() != here:
            os._exit(9)
        return "here"

    torch.set_num_threads(2)
    try:
        with Ledger.create(tmp_path / "out", {}) as ledger:
            for name, elsewhere in (("inline", False), ("processes", True)):
                session = Session(problem("table"), ledger, 0, executor=name)  # type: ignore[arg-type]
                process, survived = session.trainer.spread([lambda _: os.getpid(), die_elsewhere])
                assert (process != here) is elsewhere
                assert survived == "here"
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_dies_loses_its_own_work_only(sign: signal.Signals) -> None:
    def die(_: Heartbeat) -> None:
        os.kill(os.getpid(), sign)

    work = [functools.partial(number, 1), die, functools.partial(number, 3)]
    first, lost, third = Processes(2).run(work, lambda: None)
    assert (first, third) == (1, 3)
    assert isinstance(lost, Lost)
    assert sign.name in lost.reason


def test_a_heartbeat_that_raises_ends_the_workers() -> None:
    def wait(_: Heartbeat) -> None:
        time.sleep(600)

    def stop() -> None:
        raise StopIteration

    running: list[int] = []

    before = _children()

    def beat() -> None:
        children = _children() - before
        if children:
            running.extend(children)
            stop()

    with pytest.raises(StopIteration):
        Processes(2).run([wait, wait], beat)
    assert running
    assert not _children() - before


def _children() -> set[int]:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return {int(pid) for pid in file.read().split()}


@pytest.mark.parametrize("mode", ["fused", "serial"])
def test_training_in_processes_gives_what_training_here_gives(mode: Any) -> None:
    one = problem("table")
    recipes = [plain(momentum={"learning_rate": 0.01 * (1 + i % 3)}) for i in range(7)]
    recipes += [plain(layer_norm={}), plain(layer_norm={}, early_stopping={"patience": 3})]
    members = [member(recipe, seed, epochs=4) for seed, recipe in enumerate(recipes)]
    jobs = [Job(each, each.valid, keep=True) for each in members]

    def train(workers: int) -> list[Any]:
        chosen = Plan(TrainingWay(mode, 3, workers=workers), "for the test")
        return train_all(one, jobs, lambda _: chosen)

    for here, there, job in zip(train(1), train(2), jobs, strict=True):
        assert there.outcome.member is job.member
        assert there.outcome.status == here.outcome.status
        assert there.score == pytest.approx(here.score, abs=1e-5)
        torch.testing.assert_close(there.outcome.weights, here.outcome.weights, rtol=0, atol=1e-4)


class Deadly(nn.Module):
    """Kills its process in training when its weights happen to be so."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.layer = nn.Linear(spec.num_features, spec.num_outputs)
        self.register_buffer("luck", torch.rand(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and float(self.get_buffer("luck")) < 0.3:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.layer(x)


def test_a_trial_that_kills_its_worker_is_a_failed_outcome() -> None:
    one = problem_of(Task(data=frame(), model=Deadly))
    members = [member(plain(), seed, epochs=2) for seed in range(6)]
    unlucky = [float(one.builder(m.seed).get_buffer("module.luck")) < 0.3 for m in members]
    assert 0 < sum(unlucky) < len(unlucky)
    chosen: Callable[[object], Plan] = lambda _: Plan(TrainingWay("serial", 4, workers=2), "")  # noqa: E731
    results = train_all(one, [Job(m, m.valid) for m in members], chosen)
    for bad, result in zip(unlucky, results, strict=True):
        assert result.outcome.status == ("failed" if bad else "completed")
        assert ("SIGKILL" in result.outcome.reason) == bad
