"""A task as a session begins with it: its data, what they make of it, and prints of the user's code."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from pawl.data import LoadedData, load
from pawl.execution.listener import Listener
from pawl.fingerprint import code_of
from pawl.processes import one_process
from pawl.task import Task
from pawl.training.problem import Problem
from pawl.transfer import print_of


@dataclass(frozen=True, eq=False)
class ReadTask:
    """A task that was read.

    Attributes:
        data: Its data; the notes are those of the problem, too.
        problem: What there is to learn, on a device.
        code: Fingerprints of the user's code, and of the weights to start from, by role.
    """

    data: LoadedData
    problem: Problem
    code: dict[str, str | None]


def read_task(task: Task, seed: int, device: torch.device, listener: Listener) -> ReadTask:
    """Reads a task's data and makes a problem of it; the listener is told what it is.

    Args:
        task: What to learn.
        seed: Decides which rows are for the test.
        device: Where the problem's rows lie.
        listener: Told of the phase `task`.

    Raises:
        PawlError: Wrong input.
    """
    code = {**code_of(task), "weights": print_of(task.weights)}
    with one_process():
        data = load(task, seed=seed)
        listener.phase("task", data.headline)
        problem = Problem.of(task, data, device)
    return ReadTask(replace(data, notes=(*data.notes, *problem.notes)), problem, code)
