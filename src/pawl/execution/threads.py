"""How many threads compute: one in the process that drives, more only where that is measured to pay.

A second thread helps on a machine of one's own. Where cores are shared, every parallel region waits
for a thread that another process has pushed off its core, and a step can take many times as long
(docs/decisions/0016). So what drives a campaign computes with one thread, and ways of training that
use more are timed like all others.
"""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from pawl.cores import cores

_driving: int | None = None

_TRUSTED = 4
"""So many cores are taken as they are shown; more are counted by what busy processes get of them."""
_SPIN_SECONDS, _PART_OF_A_CORE = 0.03, 0.25
_PROBE_SECONDS = 0.1
_PROBE_SIZE = 192
_TRIES = 3
_SLOWER, _RECENT, _KEEP_STEPS, _TRY_STEPS = 1.5, 3, 400, 2


def available() -> int:
    """Returns how many threads or processes may compute at once.

    PyTorch's number of threads, which the user may have set, but not more than the process may use.
    """
    return _driving or max(1, min(torch.get_num_threads(), cores().usable))


@contextlib.contextmanager
def driving() -> Iterator[None]:
    """While it is open this process computes with one thread; `available` tells what there was."""
    global _driving  # noqa: PLW0603  (PyTorch's number of threads is the process's as well)
    before, outer = torch.get_num_threads(), _driving
    _driving = available()
    if outer is None and _driving > _TRUSTED:
        _driving = min(_driving, granted(_driving))
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _driving = outer
        torch.set_num_threads(before)


def granted(processes: int) -> int:
    """Measures how many cores' worth of time so many busy processes get together.

    The cores that a system shows may be others' as well, without a quota that says so.
    """
    if not hasattr(os, "fork"):
        return processes
    start, go = os.pipe()
    told, tell = os.pipe()
    children = []
    for _ in range(processes):
        child = os.fork()
        if not child:
            _spin(start, go, tell)
        children.append(child)
    os.close(start)
    os.close(tell)
    os.close(go)  # all start at once
    with open(told, encoding="ascii") as file:
        lines = [[float(part) for part in line.split()] for line in file]
    for child in children:
        os.waitpid(child, 0)
    begun, ended, spent = zip(*lines, strict=True)
    got: float = sum(spent) / (max(ended) - min(begun))
    return max(1, min(processes, math.ceil(got - _PART_OF_A_CORE)))


def _spin(start: int, go: int, tell: int) -> None:
    """The life of a busy process: waits for the start, and tells the processor's seconds it got."""
    with contextlib.suppress(BaseException):
        os.close(go)
        os.read(start, 1)
        begun, before = time.monotonic(), time.process_time()
        while time.monotonic() < begun + _SPIN_SECONDS:
            pass
        spent = time.process_time() - before
        os.write(tell, f"{begun} {time.monotonic()} {spent}\n".encode())
    os._exit(0)


@contextlib.contextmanager
def using(threads: int) -> Iterator[None]:
    """While it is open this process computes with so many threads."""
    before = torch.get_num_threads()
    if threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class Adapting:
    """Looks again, while training goes on, at whether several threads are worth it.

    It is told of every few steps. Now and then the other number of threads takes a few of them, and
    the faster one goes on. A look costs little: both numbers do the same work.

    Args:
        threads: How many to compare with one.
        heartbeat: Called at each beat; may raise to stop the work.
        clock: Seconds, ever increasing.
    """

    threads: int
    heartbeat: Callable[[], None]
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        self.chosen = self.threads
        self._trying: int | None = None
        self._steps = 0
        self._since = self.clock()
        self._times: list[float] = []
        self._usual = 0.0

    def beat(self) -> None:
        """Notes that a piece of work is done, and sets the number of threads for the next."""
        self.heartbeat()
        now = self.clock()
        self._times.append(now - self._since)
        self._since = now
        self._steps += 1
        if self._trying is not None:
            if len(self._times) <= _TRY_STEPS:
                return
            tried = min(self._times[1:])  # the first wakes or puts to sleep the other threads
            if tried < self._usual:
                self.chosen = self._trying
            self._trying = None
        elif self._steps % _KEEP_STEPS and not self._slow():
            return
        else:
            self._usual = statistics.median(self._times[-_RECENT:])
            self._trying = 1 if self.chosen > 1 else self.threads
        self._times.clear()
        torch.set_num_threads(self._trying or self.chosen)

    def _slow(self) -> bool:
        """Tells whether the last pieces took much longer than the least of those before."""
        few = self._times[-_RECENT:]
        return len(self._times) > len(few) and min(few) > _SLOWER * min(self._times)


def slowdown_of_threads(threads: int) -> float:
    """Measures how much longer a matrix product takes with several threads than with one, just now.

    Below 1 where more threads are faster. The numbers take turns; the medians are compared.
    """
    a = torch.randn(_PROBE_SIZE, _PROBE_SIZE)
    taken: dict[int, list[float]] = {1: [], threads: []}
    for _ in range(_TRIES):
        for number, times in taken.items():
            with using(number):
                a @ a
                begun = time.perf_counter()
                while time.perf_counter() - begun < _PROBE_SECONDS / _TRIES:
                    started = time.perf_counter()
                    a @ a
                    times.append(time.perf_counter() - started)
    several, one = (sum(taken[number]) / len(taken[number]) for number in (threads, 1))
    return several / one
