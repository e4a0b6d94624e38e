"""Devices and executors by name, and what works here."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
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


def synchronize(device: torch.device) -> None:
    """Waits until an accelerator has done what it was told, so that a clock says what it took."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def has_compiler(device: torch.device) -> bool:
    """Tells whether `torch.compile` finds what it generates code for: C++ on a CPU, else Triton."""
    if device.type == "cpu":
        return shutil.which("c++") is not None
    return importlib.util.find_spec("triton") is not None


def memory_of(device: torch.device) -> int:
    """Returns all the memory that there is, in bytes; by what is free just now, plans would change."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """While it is open, operations that may differ from run to run are replaced, or raise.

    Workers that are forked meanwhile do the same. On a CPU training repeats anyway; see PyTorch's notes
    on reproducibility.

    Args:
        wanted: Whether to change anything.
    """
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at CUDA's first product
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
