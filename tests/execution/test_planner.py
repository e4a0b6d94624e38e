"""The planner: chooses among ways that were timed, by what is ahead, and remembers the timings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from problems import colors, member, plain, problem, problem_of
from torch import nn

from pawl.errors import PawlError
from pawl.execution import (
    Plan,
    TimingCache,
    TrainingWay,
    choosing,
    devices,
    measuring,
    pick_executor,
    plan,
    planner,
)
from pawl.execution.executors import can_fork
from pawl.execution.measuring import Measured
from pawl.task import Task
from pawl.training.population import Member
from pawl.training.problem import Problem

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Gives each test a cache of its own, and two threads."""
    monkeypatch.setenv("PAWL_CACHE", str(tmp_path))
    # How many cores are free changes with what else runs here, and so does what two threads take.
    monkeypatch.setattr(planner, "_seconds_alone", lambda *_: 0.001)
    for module in (devices, measuring):
        monkeypatch.setattr(module, "available", lambda: min(2, torch.get_num_threads()))
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def planned(seconds: float, executor: str = "auto") -> Plan:
    """Plans the small table with so many seconds of training ahead."""
    chosen = pick_executor(executor, CPU)
    return plan(
        problem("table"), plain(), member(plain()), timed=True, training_seconds=lambda _: seconds,
        executor=chosen,
    )  # fmt: skip


def known() -> dict[TrainingWay, Measured]:
    return TimingCache(problem("table"), plain(), member(plain())).known


def test_what_was_timed_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    first = planned(20.0)
    timed = known()
    assert first.way.mode in ("fused", "serial")
    assert {way.mode for way in timed} == {"fused", "serial"}
    assert not any(way.compiled for way in timed)
    assert all(0 < measured.seconds < 60 for measured in timed.values())

    def refuse(*_: object) -> Measured:
        raise AssertionError("timed again")

    monkeypatch.setattr(choosing, "measure", refuse)
    assert planned(20.0) == first


def test_little_ahead_is_little_timing() -> None:
    planned(0.0)
    assert len(known()) == 1


def test_the_choice_counts_compiling_against_what_is_ahead() -> None:
    memory = TimingCache(problem("table"), plain(), member(plain()))
    workers = 2 if can_fork() else 1
    memory.add(TrainingWay("fused", 8, workers=workers), Measured(2e-4))
    memory.add(TrainingWay("serial", 1, workers=workers), Measured(9e-4))
    memory.add(TrainingWay("fused", 2, workers=workers), Measured(6e-4))
    memory.add(TrainingWay("fused", 8), Measured(3e-4))
    memory.add(TrainingWay("serial", 1), Measured(9e-4))
    memory.add(TrainingWay("fused", 32, workers=workers), Measured(2e-4))
    memory.add(TrainingWay("fused", 32, compiled=True, workers=workers), Measured(1e-4, setup=10.0))

    def chosen(steps: float) -> TrainingWay:
        return plan(
            problem("table"),
            plain(),
            member(plain()),
            timed=True,
            training_seconds=lambda s: s * steps,
        ).way

    assert chosen(50_000).compiled is False
    assert chosen(400_000) == TrainingWay("fused", 32, compiled=True, workers=workers)
    # What a budget holds depends on the way, and its seconds do not.
    assert planned(15.0).way == TrainingWay("fused", 8, workers=workers)
    assert planned(60.0).way == TrainingWay("fused", 32, compiled=True, workers=workers)


@pytest.mark.parametrize(("narrow", "width"), [(7e-4, 64), (2.1e-4, 8)])
def test_a_width_that_was_not_timed_is_taken_if_wider_steps_share_much(
    narrow: float, width: int
) -> None:
    memory = TimingCache(problem("table"), plain(), member(plain()))
    for workers in (1, 2) if can_fork() else (1,):
        memory.add(TrainingWay("serial", 1, workers=workers), Measured(9e-4))
        memory.add(TrainingWay("fused", 8, workers=workers), Measured(2e-4))
        memory.add(TrainingWay("fused", 2, workers=workers), Measured(narrow))
    chosen = plan(
        problem("table"), plain(), member(plain()), timed=True, training_seconds=lambda s: 5000 * s
    )
    assert (chosen.way.mode, chosen.way.width) == ("fused", width)


def test_few_members_train_one_after_the_other_where_that_is_faster() -> None:
    memory = TimingCache(problem("table"), plain(), member(plain()))
    for workers in (1, 2) if can_fork() else (1,):
        memory.add(TrainingWay("serial", 1, workers=workers), Measured(3e-4))
        memory.add(TrainingWay("fused", 8, workers=workers), Measured(2e-4))
        memory.add(TrainingWay("fused", 2, workers=workers), Measured(6e-4))
    # A step takes 1.07 ms and 0.07 ms for each member; one alone takes 0.3 ms.
    chosen = planned(1.0).way
    assert (chosen.fewest, chosen.width) == (5, 64)
    assert [chosen.stepper(members).name for members in (4, 5)] == ["serial", "fused"]
    assert str(chosen).startswith("fused, 5 to 64 at once")


def test_what_compiling_took_is_known_of_other_structures() -> None:
    first = TimingCache(problem("table"), plain(), member(plain()))
    other = plain(dropout={})
    before = TimingCache(problem("table"), other, member(other)).compile_seconds
    first.add(TrainingWay("fused", 32, compiled=True), Measured(1e-4, setup=before + 3.0))
    assert TimingCache(problem("table"), other, member(other)).compile_seconds == before + 3.0


class Viewed(nn.Module):
    """Lays its images out anew by `view`, which takes rows that lie as they always did."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Linear(8 * 6 * 6, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.first(image)
        return self.second(x.view(len(x), -1))


def test_steps_of_images_are_timed_with_channels_last_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where steps are long nothing else is timed; a model that fails that way keeps to the usual one."""
    timed = planner._seconds_alone
    monkeypatch.undo()
    alone, kinds = planner._seconds_alone, list[str]()
    assert alone is not timed

    def slow(problem_: Problem, probe: Member, *, channels_last: bool = False) -> float:
        kinds.append(problem_.schema.inputs[0].name)
        return (0.5 if channels_last else 1.0) + alone(problem_, probe, channels_last=channels_last)

    monkeypatch.setattr(planner, "_seconds_alone", slow)
    viewed = problem_of(Task(data=colors(), model=Viewed))
    for task, expected, calls in (
        (problem("images"), True, 2),
        (viewed, False, 2),
        (problem("table"), False, 1),
    ):
        kinds.clear()
        found = plan(task, plain(), member(plain()), timed=True, executor="inline")
        assert (found.way.mode, found.way.channels_last) == ("serial", expected)
        assert (found.seconds or 0.0) < 1.0 or not expected
        assert len(kinds) == calls
        assert ("channels last" in str(found.way)) == expected


def test_channels_last_is_chosen_where_it_is_faster() -> None:
    for faster in (True, False):
        memory = TimingCache(problem("images"), plain(), member(plain()))
        memory.forget()
        for way in (TrainingWay("serial", 1), TrainingWay("fused", 8), TrainingWay("fused", 2)):
            memory.add(way, Measured(9e-4))
        memory.add(TrainingWay("serial", 1, threads=2), Measured(2e-3))
        last = TrainingWay("serial", 1, channels_last=True)
        memory.add(last, Measured(5e-4 if faster else 1e-3))
        chosen = plan(
            problem("images"), plain(), member(plain()), timed=True, executor="inline",
            training_seconds=lambda s: 5000 * s,
        )  # fmt: skip
        assert chosen.way.channels_last == faster


@pytest.mark.skipif(not can_fork(), reason="needs Linux")
def test_an_executor_is_kept_to() -> None:
    assert planned(5.0, "inline").workers == 1
    assert planned(5.0, "processes").workers == 2
    torch.set_num_threads(1)
    assert planned(5.0, "processes").workers == 1


def test_executors_that_are_not_there() -> None:
    with pytest.raises(PawlError, match="unknown executor 'ray'; use auto, inline, processes"):
        pick_executor("ray", CPU)
    with pytest.raises(PawlError, match="needs Linux and a CPU"):
        pick_executor("processes", torch.device("cuda"))


def test_a_plan_survives_the_ledger() -> None:
    chosen = Plan(TrainingWay("fused", 32, compiled=True, workers=2), "for the test")
    assert Plan.from_dict(chosen.to_dict()) == chosen


class Plain(nn.Module):
    """Keeps `[B, 300]` twice for the backward pass: what goes into either of two products."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 300, bias=False), nn.Linear(300, 2, bias=False)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.second(self.first(inputs["x"]).sigmoid())  # type: ignore[no-any-return]


def test_activations_are_what_the_backward_pass_needs() -> None:
    inputs = {"x": torch.randn(128, 4)}
    # The inputs, and the sigmoid's result, which serves its own gradient and the second product's.
    expected = 4 * 128 * (4 + 300)
    assert planner._activations(nn.Identity(), Plain(), inputs) == expected
    assert planner._activations(nn.Identity(), nn.Linear(4, 2), inputs) == 0  # it takes no dict


def test_widths_leave_room_for_weights_and_activations(monkeypatch: pytest.MonkeyPatch) -> None:
    one, body = problem("table"), Plain()
    weights = 4 * planner._COPIES * (4 * 300 + 300 * 2)
    for memory, activations, expected in (
        (weights * 70 / planner._MEMORY_SHARE, 0, planner._WIDEST),
        (weights * 7.5 / planner._MEMORY_SHARE, 0, 7),
        (weights * 70 / planner._MEMORY_SHARE, int(weights * 70), 3),
        (1.0, 1, 1),
    ):
        monkeypatch.setattr(planner, "memory_of", lambda _, memory=memory: int(memory))
        assert planner._width(one, body, activations, workers=1) == expected


class Made:
    """A population whose calls take 2 ms, and a further time for each step, by a made-up clock."""

    device = CPU

    def __init__(self, per_step: float) -> None:
        self.per_step, self.now = per_step, 0.0
        self.calls: list[int] = []

    def advance(self, steps: int) -> None:
        self.calls.append(steps)
        self.now += 0.002 + steps * self.per_step


@pytest.mark.parametrize(
    ("per_step", "calls", "seconds"),
    [
        # Short steps are timed by sixteen, so that what a call takes is as small a part as in training.
        (0.0001, [1, 1, 8, 16, 16, 16], 0.0001 + 0.002 / 16),
        (0.002, [1, 1, 8, 8, 8], 0.002 + 0.002 / 8),
        (0.1, [1, 1, 1, 1], 0.102),
        (0.5, [1, 1], 0.502),  # one step of so long says enough
    ],
)
def test_steps_are_timed_by_as_many_as_trainings_take(
    monkeypatch: pytest.MonkeyPatch, per_step: float, calls: list[int], seconds: float
) -> None:
    made = Made(per_step)
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: made.now)
    assert measuring._time(lambda: made, lambda: None) == pytest.approx(seconds)  # type: ignore[arg-type]
    assert made.calls == calls
    planned = measuring.probing_seconds(per_step)
    assert sum(calls) * per_step == pytest.approx(planned, rel=0.25)
