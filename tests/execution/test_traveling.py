"""Pieces of work are plain values and functions of modules: they run where nothing is shared."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from problems import Functional, frame, member, plain, problem, problem_of

from pawl.data import load
from pawl.delivery import _exported
from pawl.evidence import Single
from pawl.evidence.rounds import _predicted
from pawl.execution import Job, Plan, TrainingWay
from pawl.execution.packing import _attempt
from pawl.execution.timing import _time_epoch
from pawl.functions.runs import Asked, _call
from pawl.functions.space import FunctionSpace
from pawl.ledger import Ledger
from pawl.search import Halving, Space, baseline
from pawl.search.asking import Ending, Making, train_share
from pawl.search.board import Answer
from pawl.task import FunctionTask, Task
from pawl.training.problem import Problem
from pawl.training.trained import KeptModel, save_models, untrained

PLAN = Plan(TrainingWay("fused", 4), "for the test")
NO_END = Ending(Path("nowhere"), None)
Spawned = Callable[[Callable[[], Any]], Any]


def quiet() -> None:
    """Nobody is told."""


def elsewhere(pipe: Any) -> None:
    """The life of a process that is sent pieces of work."""
    torch.set_num_threads(1)
    while sent := pipe.recv_bytes():
        pipe.send_bytes(pickle.dumps(pickle.loads(sent)()))


@pytest.fixture(scope="module")
def spawned() -> Iterator[Spawned]:
    """Runs a piece in a process that has inherited nothing."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=elsewhere, args=(theirs,))
    process.start()
    theirs.close()

    def run(piece: Callable[[], Any]) -> Any:
        ours.send_bytes(pickle.dumps(piece))
        return pickle.loads(ours.recv_bytes())

    yield run
    ours.send_bytes(b"")
    process.join()


def given(sent: Any) -> Any:
    """Answers as a board does that has four points, and then none."""
    return POINTS.pop(0) if POINTS else Answer()


POINTS: list[Answer] = []


def searched(problem: Problem, make: Making) -> list[Any]:
    """Trains a share of four points, the board being in the same process."""
    space = make.space
    start = space.params(space.baseline)
    rates = (1e-3, 3e-3, 1e-2, 3e-2)
    points = [(n, start | {"adamw.learning_rate": rate}) for n, rate in enumerate(rates)]
    POINTS[:] = [Answer(fresh=tuple(points))]
    done = train_share(problem, PLAN, make, (Halving().shares, None), 4, NO_END, quiet, given)
    return [(each.number, each.outcome.status, each.outcome.score) for each in done]


@pytest.mark.parametrize("kind", ["table", "images", "functional"])
def test_trainings_travel(kind: str, spawned: Spawned) -> None:
    one = (
        problem_of(Task(data=frame(), model=Functional)) if kind == "functional" else problem(kind)
    )
    one.fit(plain(), torch.arange(64), 0)  # what it keeps of it stays at home
    assert not pickle.loads(pickle.dumps(one))._fits
    jobs = [Job(member(plain(), seed, epochs=2), torch.arange(100, 120)) for seed in range(2)]
    piece = partial(_attempt, one, jobs, PLAN, one.examples, quiet)
    here, there = piece(), spawned(piece)
    for mine, theirs in zip(here, there, strict=True):
        assert theirs.score == pytest.approx(mine.score, rel=1e-5)
        torch.testing.assert_close(theirs.predictions, mine.predictions, rtol=1e-4, atol=1e-5)


def test_a_share_of_a_generation_travels(spawned: Spawned) -> None:
    one = problem("table")
    facts = one.facts()
    space = Space(baseline(facts), facts)
    probe = member(plain(), 0)
    make = Making(space, 3, 0, ((probe.train, probe.valid),), 4)
    piece = partial(searched, one, make)
    here, there = piece(), spawned(piece)
    assert [(n, status) for n, status, _ in here] == [(n, status) for n, status, _ in there]
    assert [x for *_, x in here] == pytest.approx([x for *_, x in there], rel=1e-5)


def train(settings: dict[str, float], seed: int) -> dict[str, float]:
    """A function of a user's."""
    return {"loss": settings["x"] ** 2 + seed}


def test_what_trains_nothing_travels(tmp_path: Path, spawned: Spawned) -> None:
    one = problem("table")
    fresh = untrained(one, plain(), 0, torch.arange(64))
    rows = one.examples.take(torch.arange(8))
    with Ledger.create(tmp_path / "campaign", {}) as ledger:
        save_models(ledger, "models.safetensors", {"0": fresh})
    kept = KeptModel(tmp_path / "campaign" / "models.safetensors", "0", one, torch.arange(64))
    piece = partial(_predicted, Single(plain()), [kept], rows, torch.device("cpu"), quiet)
    torch.testing.assert_close(spawned(piece), piece())
    data = load(Task(data=frame()))
    graph = spawned(partial(_exported, {"final": fresh}, data, quiet))
    assert graph == _exported({"final": fresh}, data, quiet)
    timed = partial(_time_epoch, one, [member(plain(), 0)], PLAN, quiet)
    assert spawned(timed) > 0
    task = FunctionTask(
        train=train, settings={"x": (0.0, 1.0)}, metric="loss", direction="minimize"
    )
    call = partial(_call, task.train, FunctionSpace(task), Asked("baseline", {"x": 0.5}, 2), quiet)
    assert spawned(call)["metrics"] == {"loss": 2.25}
    assert np.isfinite(spawned(call)["seconds"])
