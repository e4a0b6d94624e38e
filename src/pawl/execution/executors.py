"""Where pieces of work run: in this process, or one single-thread process per core.

A piece of work is a function that gets a heartbeat to call. Executors return results in the order
of the pieces; a piece whose process died has `Lost` as its result, and the others go on. Pieces that
need to know of each other ask a desk in the process that runs them; nothing is shared, so that a
worker can die at any moment without holding up another. An executor that sends the pieces to other
machines can join by the same interface.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import torch

from pawl.execution.heartbeats import PassedOn
from pawl.execution.spending import counted, own_waiting
from pawl.execution.threads import Adapting, using
from pawl.processes import end_with_parent

Heartbeat = Callable[[], None]
"""Called every now and then while work goes on; may raise to stop it."""
Work = Callable[[Heartbeat], Any]
Ask = Callable[[Any], Any]
"""Puts a question to the desk and waits for its answer."""
Asking = Callable[[Heartbeat, Ask], Any]
"""A piece of work that asks a desk."""
_BEAT_SECONDS = 0.2


@dataclass(frozen=True)
class Lost:
    """In place of a result: the worker died.

    Attributes:
        reason: How, in one line.
    """

    reason: str


class Desk(Protocol):
    """Answers what pieces of work ask while they run; always in the process that runs them."""

    def ask(self, piece: int, question: Any) -> Mapping[int, Any]:
        """Takes the question of a piece, which waits until its answer is given.

        Returns:
            By piece, the answers that are ready now: its own, others', or none.
        """

    def leave(self, piece: int) -> Mapping[int, Any]:
        """Told that a piece has ended, or its worker died; returns the answers that are ready now."""


class _Nobody:
    """The desk of pieces that ask nothing."""

    def ask(self, piece: int, question: Any) -> Mapping[int, Any]:
        raise AssertionError("this work has nobody to ask")

    def leave(self, piece: int) -> Mapping[int, Any]:
        return {}


class Executor(ABC):
    """Runs pieces of work.

    Attributes:
        workers: How many pieces run at once.
    """

    workers: int

    def run(self, work: Sequence[Work], heartbeat: Heartbeat) -> list[Any]:
        """Runs all pieces and returns their results, or `Lost`, in order.

        Raises:
            Exception: What a piece or the heartbeat raised; the rest is not finished then.
        """
        return self.confer([functools.partial(_quiet, each) for each in work], heartbeat, _Nobody())

    @abstractmethod
    def confer(self, work: Sequence[Asking], heartbeat: Heartbeat, desk: Desk) -> list[Any]:
        """Runs pieces that ask a desk; see `run`.

        Args:
            work: The pieces; no more than `workers` if the desk makes them wait for each other.
            heartbeat: Called every now and then. What it raises is passed on, never taken for a
                failure of a piece.
            desk: Whom they ask.
        """


def _quiet(piece: Work, heartbeat: Heartbeat, _: Ask) -> Any:
    return piece(heartbeat)


class Inline(Executor):
    """Runs one piece after the other in this process.

    Args:
        threads: Threads of this process that compute.
        adapts: Whether to look again, while pieces run, at whether so many are faster than one.
    """

    workers = 1

    def __init__(self, threads: int = 1, *, adapts: bool = False) -> None:
        self.threads = threads
        self.adapts = adapts and threads > 1

    def confer(self, work: Sequence[Asking], heartbeat: Heartbeat, desk: Desk) -> list[Any]:
        """Runs all pieces."""
        results = []
        with PassedOn(heartbeat) as passed_on, using(self.threads):
            beat = Adapting(self.threads, passed_on).beat if self.adapts else passed_on
            for index, piece in enumerate(work):
                passed_on()
                results.append(piece(beat, functools.partial(_asked, desk, index)))
                desk.leave(index)
        return results


def _asked(desk: Desk, piece: int, question: Any) -> Any:
    return desk.ask(piece, question)[piece]


class Processes(Executor):
    """Forks workers with one thread each, which inherit all that the pieces refer to.

    Forking is what lets any model run, also one that cannot be pickled; only results are, questions
    and answers. Workers live for one call: nothing is shared that could go stale, and what died is
    simply gone.

    Args:
        workers: Most processes at once.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def confer(self, work: Sequence[Asking], heartbeat: Heartbeat, desk: Desk) -> list[Any]:
        """Runs all pieces, each in the next worker that is free."""
        results: list[Any] = [None] * len(work)
        waiting = list(reversed(range(len(work))))
        running: dict[int, tuple[Connection, BaseProcess]] = {}
        try:
            while waiting or running:
                heartbeat()
                while waiting and len(running) < self.workers:
                    index = waiting.pop()
                    running[index] = _start(work[index])
                pipes = {pipe: index for index, (pipe, _) in running.items()}
                for ready in wait(list(pipes), _BEAT_SECONDS):
                    assert isinstance(ready, Connection)
                    index = pipes[ready]
                    kind, value = _receive(ready, running[index][1])
                    if kind == "question":
                        answers = desk.ask(index, value)
                    elif kind == "error":
                        raise value
                    else:
                        results[index] = _counted(value, min(self.workers, len(work)))
                        _end(*running.pop(index))
                        answers = desk.leave(index)
                    for asker, answer in answers.items():
                        with contextlib.suppress(OSError):  # it died while it waited
                            running[asker][0].send(answer)
        finally:
            for pipe, process in running.values():
                process.kill()
                _end(pipe, process)
        return results


def executor_with(workers: int, threads: int = 1, *, adapts: bool = False) -> Executor:
    """Returns what runs so many pieces at once; one runs in this process, with so many threads."""
    return Processes(workers) if workers > 1 else Inline(threads, adapts=adapts)


def can_fork() -> bool:
    """Tells whether workers can be forked here; elsewhere than on Linux it is not safe."""
    return sys.platform == "linux" and "fork" in multiprocessing.get_all_start_methods()


def _start(piece: Asking) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(piece, theirs, os.getpid()), daemon=True)
    with warnings.catch_warnings():
        # Python warns of threads at a fork; the child takes none of their locks: it computes,
        # writes to its pipe and leaves without cleaning up.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()
    return ours, process


def _work(piece: Asking, pipe: Connection, parent: int) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent(parent)
    # A forked child has lost the threads of the pool; with one thread it never asks for them.
    torch.set_num_threads(1)

    def ask(question: Any) -> Any:
        pipe.send(("question", question))
        return pipe.recv()  # from the parent, which outlives this process

    try:
        answer = ("result", (piece(lambda: None, ask), own_waiting()))
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


def _receive(pipe: Connection, process: BaseProcess) -> tuple[str, Any]:
    """Returns what a worker sent: a question, its result or what it raised; `Lost` if it died."""
    try:
        kind, value = pickle.loads(pipe.recv_bytes())  # from our own child
    except (EOFError, ConnectionResetError):
        process.join()
        return "result", Lost(f"its worker process died ({_how(process.exitcode)})")
    return kind, value


def _end(pipe: Connection, process: BaseProcess) -> None:
    pipe.close()
    process.join()


def _counted(value: Any, workers: int) -> Any:
    """Returns a worker's result, and counts how long it waited for a core."""
    if isinstance(value, Lost):
        return value
    result, waited = value
    counted.waiting += waited / workers
    return result


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"{name}, as when memory runs out" if name == "SIGKILL" else name
    return f"exit code {code}"
