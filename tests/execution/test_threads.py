"""Threads: one drives, more only where they pay, looked at again while training goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from pawl.execution import available, driving, slowdown_of_threads
from pawl.execution.devices import Place, places
from pawl.execution.executors import Inline, can_fork
from pawl.execution.threads import Adapting, granted, using

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_what_drives_computes_with_one_thread_and_gives_them_back() -> None:
    had = available()
    with driving():
        assert torch.get_num_threads() == 1
        assert available() == had
        with driving():  # a campaign inside a campaign
            assert available() == had
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with pytest.raises(ValueError, match="as it were"), driving():
        raise ValueError("as it were")
    assert torch.get_num_threads() == 2


def test_threads_that_the_user_took_back_are_not_used() -> None:
    torch.set_num_threads(1)
    assert available() == 1
    assert places(CPU, "auto") == (Place(1, 1),)


@pytest.mark.skipif(not can_fork() or available() < 2, reason="needs Linux and two cores")
def test_one_thread_here_is_a_place_like_any_other() -> None:
    assert places(CPU, "auto") == (Place(2, 1), Place(1, 1), Place(1, 2))
    assert places(CPU, "processes") == (Place(2, 1),)
    assert places(CPU, "inline") == (Place(1, 1), Place(1, 2))
    assert places(torch.device("cuda"), "auto") == (Place(1, 1),)


def test_an_inline_executor_sets_its_threads_for_its_work_only() -> None:
    with using(1):
        work = [lambda _: torch.get_num_threads()] * 2
        assert Inline(2).run(work, lambda: None) == [2, 2]
        assert Inline().run(work, lambda: None) == [1, 1]
        assert torch.get_num_threads() == 1


class Machine:
    """A clock of pieces of work that take so many seconds by the number of threads."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds, self.now = seconds, 0.0
        self.used: list[int] = []

    def clock(self) -> float:
        return self.now

    def work(self, adapting: Adapting, pieces: int) -> None:
        for _ in range(pieces):
            self.used.append(torch.get_num_threads())
            self.now += self.seconds[torch.get_num_threads()]
            adapting.beat()


def test_threads_that_become_slow_are_given_up_and_come_back() -> None:
    machine = Machine({1: 1.0, 2: 0.6})
    adapting = Adapting(2, lambda: None, machine.clock)
    machine.work(adapting, 50)
    assert set(machine.used) == {2}
    machine.seconds[2] = 6.0  # a neighbor has come
    machine.work(adapting, 20)
    assert machine.used[-5:] == [1] * 5
    machine.seconds[2] = 0.6  # and gone, which nothing tells: it is looked at now and then
    machine.work(adapting, 1000)
    assert machine.used[-5:] == [2] * 5


def test_one_thread_stays_where_it_is_no_slower() -> None:
    machine = Machine({1: 1.0, 2: 1.4})
    adapting = Adapting(2, lambda: None, machine.clock)
    machine.work(adapting, 2000)
    assert machine.used[-1] == 1
    assert machine.used[500:].count(2) < 20


def test_what_a_heartbeat_raises_goes_on() -> None:
    def stop() -> None:
        raise StopIteration

    with pytest.raises(StopIteration):
        Inline(2, adapts=True).run([lambda beat: beat()], stop)
    assert torch.get_num_threads() == 2


@pytest.mark.skipif(not can_fork(), reason="needs Linux")
def test_cores_that_are_shown_and_not_there_are_found_out() -> None:
    mask = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(mask)})
        assert granted(12) == 1
    finally:
        os.sched_setaffinity(0, mask)
    assert 1 <= granted(12) <= len(mask)


def test_what_threads_are_worth_now_is_measured() -> None:
    assert 0.01 < slowdown_of_threads(2) < 1000
