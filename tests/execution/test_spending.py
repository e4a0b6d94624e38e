"""Where a campaign's seconds go: by phase, with waiting and compiling apart."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from problems import problem

from pawl.execution import Session, Silent
from pawl.execution.executors import Heartbeat, Processes, can_fork
from pawl.execution.spending import Timekeeper, counted, own_waiting, waiting
from pawl.ledger import Ledger


class Told(Silent):
    """A listener that remembers the phases that it is told."""

    def __init__(self) -> None:
        self.phases: list[str] = []

    def phase(self, name: str, detail: str) -> None:
        self.phases.append(f"{name}: {detail}")


def test_phases_add_up_to_the_time_there_was() -> None:
    told, started = Told(), time.monotonic()
    keeper = Timekeeper(told, before=2.0)
    keeper.phase("search", "generation 1")
    counted.compiling += 1e-6
    keeper.phase("race", "two recipes")
    keeper.phase("search", "generation 2")  # a phase may come back
    spent = keeper.note()
    assert told.phases == ["search: generation 1", "race: two recipes", "search: generation 2"]
    assert list(spent) == ["read", "search", "race"]
    assert spent["read"].seconds >= 2.0  # what was over when it began
    assert spent["search"].compiling == pytest.approx(1e-6)
    whole = sum(each.seconds for each in spent.values())
    assert whole == pytest.approx(2.0 + time.monotonic() - started, abs=0.5)
    assert all(0 <= each.waiting <= each.seconds for each in spent.values())


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs Linux")
@pytest.mark.skipif(not can_fork(), reason="needs Linux")
def test_waiting_for_a_core_is_seen_here_and_in_workers() -> None:
    """Two processes on one core wait for each other."""

    def spin(_: Heartbeat) -> float:
        until = time.process_time() + 0.15
        while time.process_time() < until:
            pass
        return own_waiting()

    before, mask = waiting(), os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(mask)})
        waited = Processes(2).run([spin, spin], lambda: None)
    finally:
        os.sched_setaffinity(0, mask)
    assert max(waited) > 0.05
    assert waiting() - before >= 0.9 * sum(waited) / 2  # what workers waited, over their number


def test_slowdown_is_what_waiting_has_cost_so_far(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "out", {}) as ledger:
        session = Session(problem("table"), ledger, 0, budget=100.0)
        assert session.clock.slowdown >= 1.0
        session.clock._begun = time.monotonic() - 30.0, waiting() - 20.0
        assert session.clock.slowdown == pytest.approx(3.0, rel=0.1)
        session.clock._begun = time.monotonic() - 1.0, waiting() - 50.0  # not more than was there
        assert session.clock.slowdown == pytest.approx(20.0, rel=0.1)
