"""Where pieces of work run: in this process, or one single-thread process per core.

A piece of work is a function that gets a heartbeat to call. Executors return results in the order
of the pieces; a piece whose process died has `Lost` as its result, and the others go on. One that
sends the pieces to other machines can join by the same interface.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import torch

from pawl.execution.spending import counted, own_waiting
from pawl.execution.threads import Adapting, using

Heartbeat = Callable[[], None]
"""Called every now and then while work goes on; may raise to stop it."""
Work = Callable[[Heartbeat], Any]
_BEAT_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Lost:
    """In place of a result: the worker died.

    Attributes:
        reason: How, in one line.
    """

    reason: str


class Executor(Protocol):
    """Runs pieces of work."""

    workers: int
    """How many pieces run at once."""

    def run(self, work: Sequence[Work], heartbeat: Heartbeat) -> list[Any]:
        """Runs all pieces and returns their results, or `Lost`, in order.

        Raises:
            Exception: What a piece or the heartbeat raised; the rest is not finished then.
        """


class Inline:
    """Runs one piece after the other in this process.

    Args:
        threads: Threads of this process that compute.
        adapts: Whether to look again, while pieces run, at whether so many are faster than one.
    """

    workers = 1

    def __init__(self, threads: int = 1, *, adapts: bool = False) -> None:
        self.threads = threads
        self.adapts = adapts and threads > 1

    def run(self, work: Sequence[Work], heartbeat: Heartbeat) -> list[Any]:
        """Runs all pieces."""
        results = []
        with using(self.threads):
            beat = Adapting(self.threads, heartbeat).beat if self.adapts else heartbeat
            for piece in work:
                heartbeat()
                results.append(piece(beat))
        return results


class Processes:
    """Forks workers with one thread each, which inherit all that the pieces refer to.

    Forking is what lets any model run, also one that cannot be pickled; only results are. Workers
    live for one call: nothing is shared that could go stale, and what died is simply gone.

    Args:
        workers: Most processes at once.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, work: Sequence[Work], heartbeat: Heartbeat) -> list[Any]:
        """Runs all pieces, each in the next worker that is free."""
        results: list[Any] = [None] * len(work)
        waiting = list(reversed(range(len(work))))
        running: dict[Any, tuple[BaseProcess, int]] = {}
        try:
            while waiting or running:
                heartbeat()
                while waiting and len(running) < self.workers:
                    index = waiting.pop()
                    pipe, process = _start(work[index])
                    running[pipe] = (process, index)
                for ready in wait(list(running), _BEAT_SECONDS):
                    process, index = running.pop(ready)
                    assert isinstance(ready, Connection)
                    results[index] = _receive(ready, process, min(self.workers, len(work)))
        finally:
            for pipe, (process, _) in running.items():
                process.kill()
                process.join()
                pipe.close()
        return results


def executor_with(workers: int, threads: int = 1, *, adapts: bool = False) -> Executor:
    """Returns what runs so many pieces at once; one runs in this process, with so many threads."""
    return Processes(workers) if workers > 1 else Inline(threads, adapts=adapts)


def can_fork() -> bool:
    """Tells whether workers can be forked here; elsewhere than on Linux it is not safe."""
    return sys.platform == "linux" and "fork" in multiprocessing.get_all_start_methods()


def _start(piece: Work) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(piece, sender, os.getpid()), daemon=True)
    with warnings.catch_warnings():
        # Python warns of threads at a fork; the child takes none of their locks: it computes,
        # writes to its pipe and leaves without cleaning up.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    sender.close()
    return receiver, process


def _work(piece: Work, pipe: Connection, parent: int) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    # A forked child has lost the threads of the pool; with one thread it never asks for them.
    torch.set_num_threads(1)
    try:
        answer = ("result", (piece(lambda: None), own_waiting()))
        message = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
    except BaseException as error:
        message = pickle.dumps(("error", _portable(error)))
    with contextlib.suppress(OSError):
        pipe.send_bytes(message)
        pipe.close()
    os._exit(0)


def _portable(error: BaseException) -> BaseException:
    """Returns the exception, or one that says the same if it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))  # our own, made in the line
    except Exception:
        return RuntimeError("".join(traceback.format_exception_only(error)).strip())
    return error


def _receive(pipe: Connection, process: BaseProcess, workers: int) -> Any:
    try:
        kind, value = pickle.loads(pipe.recv_bytes())  # from our own child
    except EOFError:
        process.join()
        return Lost(f"its worker process died ({_how(process.exitcode)})")
    finally:
        pipe.close()
    process.join()
    if kind == "error":
        raise value
    result, waited = value
    counted.waiting += waited / workers
    return result


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"{name}, as when memory runs out" if name == "SIGKILL" else name
    return f"exit code {code}"
