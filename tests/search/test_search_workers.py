"""A generation over several workers prunes as one does, and lives on when one of them dies."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from problems import member, plain, problem

from pawl.execution import Ask, Heartbeat, Lost, Plan, Session, TrainingWay
from pawl.execution.executors import Inline, Processes, can_fork
from pawl.ledger import Ledger, TrialRecord
from pawl.search import SearchPlan, baseline, search
from pawl.search.board import Board
from pawl.search.failures import run_or_record
from pawl.search.protocols import Params
from pawl.search.seat import Searched, Seat
from pawl.training.population import Member

pytestmark = pytest.mark.skipif(not can_fork(), reason="needs Linux")

RATES = [0.03, 0.02, 1e-4, 2e-4, 0.04, 1e-4, 0.05, 0.01, 3e-4, 0.03, 2e-4, 0.06, 1e-4]
PLACES = 6
SERIAL = Plan(TrainingWay("serial", PLACES), "for the test")


def make(epochs: int, number: int, params: Params) -> tuple[Member, ...]:
    recipe = plain(momentum={"learning_rate": params["rate"]})
    split = member(recipe, 0)
    return (Member(recipe, number, split.train, split.valid, epochs),)


def generation(
    workers: int,
    epochs: int,
    beat: Callable[[int], None] = lambda _: None,
    *,
    lockstep: bool = True,
) -> tuple[list[Any], Board]:
    """Trains the configurations with so many workers; they call `beat` with their number."""

    def work(worker: int, heartbeat: Heartbeat, ask: Ask) -> list[Searched]:
        def both() -> None:
            heartbeat()
            beat(worker)

        seat = Seat(ask, functools.partial(make, epochs))
        width = PLACES // workers
        return run_or_record(problem("table"), SERIAL, seat, width, heartbeat=both)

    executor = Processes(workers) if workers > 1 else Inline()
    pieces = [functools.partial(work, worker) for worker in range(workers)]
    with Board(({"rate": rate} for rate in RATES), workers, lockstep=lockstep) as board:
        return executor.confer(pieces, lambda: None, board), board


def told(results: list[list[Searched]]) -> dict[int, tuple[object, ...]]:
    return {
        each.number: (each.outcome.status, each.outcome.score, each.outcome.steps, each.rungs)
        for result in results
        for each in result
    }


# Of 34 passes the last segment is shorter: members of different ages are then due at different steps.
@pytest.mark.parametrize("epochs", [36, 34])
@pytest.mark.parametrize("workers", [2, 3])
def test_several_workers_prune_as_one_with_as_many_places(workers: int, epochs: int) -> None:
    alone, _ = generation(1, epochs)
    together, board = generation(workers, epochs)
    assert told(together) == told(alone)
    assert len(told(alone)) == len(RATES)
    assert {status for status, *_ in told(alone).values()} == {"completed", "pruned"}
    assert all(board.dealt)


def test_how_fast_a_worker_is_decides_nothing() -> None:
    def rest(worker: int) -> None:
        if worker == 1:
            time.sleep(0.01)

    slow, _ = generation(2, 36, rest)
    assert told(slow) == told(generation(2, 36)[0])


def test_without_lockstep_all_configurations_end_too() -> None:
    results, board = generation(2, 36, lockstep=False)
    assert sorted(told(results)) == list(range(len(RATES)))
    assert [sorted(told([result])) for result in results] == [sorted(own) for own in board.dealt]


@pytest.mark.parametrize(("beats", "lockstep"), [(0, True), (1, True), (3, True), (0, False)])
def test_a_worker_that_dies_leaves_the_rest_to_the_others(beats: int, lockstep: bool) -> None:
    left = iter(range(beats))

    def die(worker: int) -> None:
        if worker == 1 and next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    (found, lost), board = generation(2, 36, die, lockstep=lockstep)
    assert isinstance(lost, Lost)
    assert set(told([found])) == set(range(len(RATES))) - set(board.dealt[1])
    assert set(told([found])) == set(board.dealt[0])


def test_a_worker_that_raises_ends_the_others() -> None:
    def fail(worker: int) -> None:
        if worker == 1:
            raise LookupError("as it were")

    with pytest.raises(LookupError, match="as it were"):
        generation(2, 36, fail)


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("two_threads")
def test_a_search_is_the_same_with_one_worker_and_with_two(tmp_path: Path) -> None:
    def trials(executor: Any, name: str) -> list[TrialRecord]:
        with Ledger.create(tmp_path / name, {}) as ledger:
            session = Session(problem("table"), ledger, 0, epochs=12, executor=executor)
            plan = SearchPlan(width=4, quota=8, trials=16, deadline=None)
            return search(session, baseline(session.facts), plan)

    inline, processes = trials("inline", "one"), trials("processes", "two")
    assert [t.recipe_id for t in processes] == [t.recipe_id for t in inline]
    assert [t.status for t in processes] == [t.status for t in inline]
    assert "pruned" in {t.status for t in inline}
    again = trials("processes", "again")
    assert [(t.recipe_id, t.score) for t in again] == [(t.recipe_id, t.score) for t in processes]
