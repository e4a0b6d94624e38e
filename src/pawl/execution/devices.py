"""Devices and executors by name, and what works here."""

from __future__ import annotations

from typing import Literal

import torch

from pawl.errors import PawlError
from pawl.execution.executors import can_fork

ExecutorName = Literal["auto", "inline", "processes"]
EXECUTORS: tuple[ExecutorName, ...] = ("auto", "inline", "processes")


def worker_counts(device: torch.device, executor: ExecutorName) -> tuple[int, ...]:
    """Returns how many processes may be tried: one for each of PyTorch's threads, on a CPU.

    Raises:
        PawlError: The executor does not work here.
    """
    possible = device.type == "cpu" and can_fork()
    if executor == "processes" and not possible:
        raise PawlError("executor 'processes' needs Linux and a CPU; use --executor inline or auto")
    threads = torch.get_num_threads()
    if executor == "inline" or not possible or threads == 1:
        return (1,)
    return (threads,) if executor == "processes" else (1, threads)


def pick_executor(name: str, device: torch.device) -> ExecutorName:
    """Returns the executor named.

    Raises:
        PawlError: There is none of that name, or it does not work here.
    """
    for known in EXECUTORS:
        if name == known:
            worker_counts(device, known)
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
        raise PawlError("device 'cuda' is not available here; use --device cpu or auto")
    if name not in ("cpu", "cuda"):
        raise PawlError(f"unknown device {name!r}; use auto, cpu or cuda")
    return torch.device(name)
