"""Versions and hardware, as every record of a measurement states them."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from collections.abc import Callable
from pathlib import Path

import torch

from pawl.cores import cores

_PACKAGES = ("pawl", "torch", "optuna", "numpy", "scipy", "scikit-learn", "pandas", "onnxruntime")

_FEATURES = (
    "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "i8mm", "bf16",
)  # fmt: skip


@functools.cache
def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that decide a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware(device: torch.device | str = "cpu") -> dict[str, str | int]:
    """Returns processor, cores, those that may be used, memory and, on an accelerator, its name."""
    found: dict[str, str | int] = {
        "cpu": _processor(),
        "cores": os.cpu_count() or 1,
        "usable_cores": cores().usable,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.system(),
        "device": str(device),
    }
    if torch.device(device).type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def cpu_features(read: Callable[[], str] | None = None) -> tuple[str, ...]:
    """Returns those instructions of the processor that decide how fast, or how exactly, a model runs.

    Args:
        read: Reads what the system says of the processor, for tests.
    """
    try:
        flags = set((read or Path("/proc/cpuinfo").read_text)().split())
    except OSError:
        return ()
    return tuple(name for name in _FEATURES if name in flags)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
