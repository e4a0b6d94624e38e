"""Devices and executors by name, and what works here."""

from __future__ import annotations

from typing import NamedTuple, get_args

import torch

from pawl.errors import PawlError, option
from pawl.execution.executors import can_fork
from pawl.execution.threads import available
from pawl.options import ExecutorName

EXECUTORS: tuple[ExecutorName, ...] = get_args(ExecutorName)


class Place(NamedTuple):
    """Where members train: processes with one thread each, or this one with some threads."""

    workers: int
    threads: int


def places(device: torch.device, executor: ExecutorName) -> tuple[Place, ...]:
    """Returns where members may train: on a CPU in a process per core, or here with one or all threads.

    The first is the one that is taken where nothing is timed.

    Raises:
        PawlError: The executor does not work here.
    """
    possible = device.type == "cpu" and can_fork()
    if executor == "processes" and not possible:
        raise PawlError(
            f"executor 'processes' needs Linux and a CPU; use {option('executor', 'inline')} or auto"
        )
    threads = available()
    if device.type != "cpu" or threads == 1:
        return (Place(1, 1),)
    spread, here = (Place(threads, 1),), (Place(1, 1), Place(1, threads))
    if executor == "inline" or not possible:
        return here
    return spread if executor == "processes" else (*spread, *here)


def pick_executor(name: str, device: torch.device) -> ExecutorName:
    """Returns the executor named.

    Raises:
        PawlError: There is none of that name, or it does not work here.
    """
    for known in EXECUTORS:
        if name == known:
            places(device, known)
            return known
    raise PawlError(f"unknown executor {name!r}; use {', '.join(EXECUTORS)}")


def pick_device(name: str) -> torch.device:
    """Returns the device named, or with `auto` the best there is.

    Raises:
        PawlError: The device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise PawlError(
            f"device 'cuda' is not available here; use {option('device', 'cpu')} or auto"
        )
    if name not in ("cpu", "cuda"):
        raise PawlError(f"unknown device {name!r}; use auto, cpu or cuda")
    return torch.device(name)
