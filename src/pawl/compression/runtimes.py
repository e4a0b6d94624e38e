"""Which runtime, with which options, is fastest for a bundle on this machine: measured turn by turn.

Entrants are ONNX Runtime with its options, OpenVINO where it is installed, and PyTorch, whose exported
program is run operation by operation and compiled. Each family has a process of its own
(`pawl.deployment.runners`); one is called after the other, in turns whose order rotates, so that a
machine that is busy for a while hits all alike. The first calls of each are left out. An entrant must
predict what the bundle does, on real rows, on one row and on as many as are timed, or it is out.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pawl.compression.entrants import KEPT, Entrant, Field
from pawl.data.types import Examples
from pawl.deployment import Latency, disturbed
from pawl.environment import cpu_features, versions
from pawl.errors import first_line
from pawl.models import Pipeline, Trees, masks_taken

_ROUNDS = 24
_GAIN = 1.02
_COMPILED = (False, True)
_LEVELS = ("all", "extended", "basic")


@dataclass(frozen=True)
class Timed:
    """What came of an entrant.

    Attributes:
        name: The entrant's.
        family: The entrant's.
        ms: Median of a call; `None` where it is out.
        interval: Its 95% interval.
        speed: How many times as fast as ONNX Runtime with its defaults and one thread.
        speed_interval: Its 95% interval.
        reason: Why it is out; empty where it is not.
        slow_start: What is to be said of its first calls, which do not count.
    """

    name: str
    family: str
    ms: float | None = None
    interval: tuple[float, float] | None = None
    speed: float | None = None
    speed_interval: tuple[float, float] | None = None
    reason: str = ""
    slow_start: str = ""


@dataclass(frozen=True)
class BakeOff:
    """What was timed, and what is used.

    Attributes:
        batch: Rows of a call.
        timed: All entrants, the fastest first.
        kept: What `pawl predict` uses; `None` for the default.
        disturbed: What is to be said of the machine meanwhile; empty if it was quiet.
    """

    batch: int
    timed: tuple[Timed, ...]
    kept: Entrant | None
    disturbed: str = ""

    def record(self) -> dict[str, Any]:
        """Returns what a bundle keeps of it, JSON-ready."""
        used = None if self.kept is None else {"family": self.kept.family, **self.kept.options}
        return {
            "batch": self.batch, "used": used, "timed": [asdict(each) for each in self.timed],
            "disturbed": self.disturbed, "cpu_features": list(cpu_features()), "versions": versions(),
        }  # fmt: skip


def bake_off(
    graph: bytes, rows: Examples, *, batch: int, threads: int, module: Pipeline | None = None
) -> BakeOff:
    """Times runtimes on one graph.

    ONNX Runtime's options are searched one after the other: threads, then how far graphs are optimized,
    then whether nodes run in parallel. One is used in place of the default only if it is shown to be
    1.02 times as fast, with the lower end of the interval above 1.

    Args:
        graph: The bundle's.
        rows: Real ones.
        batch: Rows of a call.
        threads: Most threads.
        module: What predicts, as a module, for PyTorch; `None` where there is none.
    """
    with tempfile.TemporaryDirectory() as folder:
        field = Field(Path(folder), graph, rows, batch)
        with contextlib.ExitStack() as stack:
            field.enter(stack)
            default = Entrant("onnxruntime", {"threads": 1, "level": "all", "mode": "sequential"})
            counts = sorted({1, *(2**n for n in range(1, 10) if 2**n < threads), threads})
            several = [_with(default, threads=n) for n in counts]
            best = field.fastest(several, _ROUNDS)
            found = field.fastest([_with(best, level=level) for level in _LEVELS], _ROUNDS)
            if found.options["threads"] > 1:
                found = field.fastest([found, _with(found, mode="parallel")], _ROUNDS)
            others = [Entrant("openvino", {"threads": n}) for n in counts]
            if importlib.util.find_spec("openvino") is None:
                others = []
            torches, reason = _programs(module, rows, batch, counts, Path(folder))
            ready = [each for each in (*others, *torches) if field.opened(each)]
            every = {each.name: each for each in (default, found, best, *ready)}
            entered = [each for each in every.values() if field.opened(each)]
            times = field.timed(entered, _ROUNDS)
            base = times.get(default.name)
            timed = [
                replace(
                    _timed(e, times[e.name], base),
                    slow_start=field.slow_start(e, times[e.name].median),
                )
                for e in entered
                if base is not None
            ]
            timed += [Timed(n, f, reason=why) for n, (f, why) in field.out.items()]
        if reason:
            timed.append(Timed("torch", "torch", reason=reason))
    order = sorted(timed, key=lambda each: math.inf if each.ms is None else each.ms)
    kept = _kept(order, {each.name: each for each in entered}, default)
    return BakeOff(batch, tuple(order), kept, disturbed([*times.values()]))


def _with(entrant: Entrant, **options: Any) -> Entrant:
    return Entrant(entrant.family, {**entrant.options, **options})


def _kept(
    order: Sequence[Timed], entered: Mapping[str, Entrant], default: Entrant
) -> Entrant | None:
    for each in order:
        if each.family not in KEPT or each.speed is None or each.speed_interval is None:
            continue
        if each.speed >= _GAIN and each.speed_interval[0] > 1.0 and each.name != default.name:
            return entered[each.name]
    return None


def _timed(entrant: Entrant, mine: Latency, default: Latency) -> Timed:
    speed, interval = mine.gain_over(default)
    return Timed(entrant.name, entrant.family, mine.median, mine.interval, speed, interval)


def _programs(
    module: Pipeline | None, rows: Examples, batch: int, threads: Sequence[int], folder: Path
) -> tuple[list[Entrant], str]:
    """Writes a module as an exported program; returns PyTorch's entrants, or why there are none."""
    if module is None:
        return [], "the bundle's module cannot be built anew"
    if any(isinstance(each, Trees) for each in module.modules()):
        return [], "the model holds trees, for which torch.export has no operation"
    names = list(module.names)
    example = tuple(rows.inputs[name][torch.arange(2) % len(rows)] for name in names)
    path = folder / "model.pt2"
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), masks_taken():
            warnings.simplefilter("ignore")
            free = torch.export.Dim("rows", min=1)
            program = torch.export.export(
                module, example, dynamic_shapes=(tuple({0: free} for _ in example),)
            )
            torch.export.save(program, path)
    except Exception as error:  # whatever a model does that cannot be exported
        return (
            [],
            f"torch.export cannot take the model ({type(error).__name__}: {first_line(error)})",
        )
    common = {"model": str(path), "names": names}
    return [
        Entrant("torch", {"compiled": compiled, "threads": count, **common})
        for compiled in _COMPILED
        for count in threads
    ], ""
