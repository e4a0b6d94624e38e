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
import json
import math
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pawl.data.types import Examples
from pawl.deployment import Latency, runners
from pawl.deployment.export import predict
from pawl.deployment.records import apart
from pawl.environment import cpu_features, versions
from pawl.errors import first_line
from pawl.models import Pipeline, Trees

_ROUNDS, _WARM, _CHECKED = 24, 6, 256
_LEAST_MS, _MOST_CALLS = 0.5, 50
_SAME = 1e-3
_GAIN = 1.02
_LEVELS = ("all", "extended", "basic")
KEPT = ("onnxruntime", "openvino")
"""Families that `pawl predict` can use: they read the bundle's graph."""


@dataclass(frozen=True)
class Entrant:
    """A runtime with options.

    Attributes:
        family: `onnxruntime`, `openvino` or `torch`.
        options: What its session is made with.
    """

    family: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """In a few words."""
        shown = {k: v for k, v in self.options.items() if k not in ("model", "names")}
        told = ", ".join(f"{name} {value}" for name, value in shown.items())
        return f"{self.family} ({told})"


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
    """

    name: str
    family: str
    ms: float | None = None
    interval: tuple[float, float] | None = None
    speed: float | None = None
    speed_interval: tuple[float, float] | None = None
    reason: str = ""


@dataclass(frozen=True)
class BakeOff:
    """What was timed, and what is used.

    Attributes:
        batch: Rows of a call.
        timed: All entrants, the fastest first.
        kept: What `pawl predict` uses; `None` for the default.
    """

    batch: int
    timed: tuple[Timed, ...]
    kept: Entrant | None

    def record(self) -> dict[str, Any]:
        """Returns what a bundle keeps of it, JSON-ready."""
        used = None if self.kept is None else {"family": self.kept.family, **self.kept.options}
        return {
            "batch": self.batch, "used": used, "timed": [asdict(each) for each in self.timed],
            "cpu_features": list(cpu_features()), "versions": versions(),
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
        field_ = _Field(Path(folder), graph, rows, batch)
        with contextlib.ExitStack() as stack:
            field_.enter(stack)
            default = Entrant("onnxruntime", {"threads": 1, "level": "all", "mode": "sequential"})
            counts = sorted({1, *(2**n for n in range(1, 10) if 2**n < threads), threads})
            several = [_with(default, threads=n) for n in counts]
            best = field_.fastest(several)
            found = field_.fastest([_with(best, level=level) for level in _LEVELS])
            if found.options["threads"] > 1:
                found = field_.fastest([found, _with(found, mode="parallel")])
            others = [Entrant("openvino", {"threads": n}) for n in counts]
            if importlib.util.find_spec("openvino") is None:
                others = []
            torches, reason = _programs(module, rows, batch, counts, Path(folder))
            ready = [each for each in (*others, *torches) if field_.opened(each)]
            entered = list({e.name: e for e in (default, found, best, *ready)}.values())
            times = field_.timed([each for each in entered if field_.opened(each)], _ROUNDS)
            timed = [_timed(e, times[e.name], times[default.name]) for e in entered]
            timed += [Timed(n, f, reason=why) for n, (f, why) in field_.out.items()]
        if reason:
            timed.append(Timed("torch", "torch", reason=reason))
    order = sorted(timed, key=lambda each: math.inf if each.ms is None else each.ms)
    kept = _kept(order, {each.name: each for each in entered}, default)
    return BakeOff(batch, tuple(order), kept)


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
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
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
        for compiled in (False, True)
        for count in threads
    ], ""


class _Field:
    """The entrants' processes.

    Attributes:
        out: Entrants that are out, with family and reason.
    """

    def __init__(self, folder: Path, graph: bytes, rows: Examples, batch: int) -> None:
        self._folder, self._batch = folder, batch
        self._graph = folder / "model.onnx"
        self._graph.write_bytes(graph)
        checked = rows.take(torch.arange(min(_CHECKED, len(rows))))
        few = rows.take(torch.arange(batch) % len(rows))
        self._expected = {
            "rows": predict(graph, checked), "few": predict(graph, few),
            "one": predict(graph, few.take(torch.arange(1))),
        }  # fmt: skip
        arrays = {f"check.{name}": x.numpy() for name, x in checked.inputs.items()}
        arrays |= {f"call.{name}": x.numpy() for name, x in few.inputs.items()}
        np.savez(folder / "rows.npz", **arrays)  # type: ignore[arg-type]  # names of its own
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._stack = contextlib.ExitStack()
        self._open: set[str] = set()
        self.out: dict[str, tuple[str, str]] = {}

    def enter(self, stack: contextlib.ExitStack) -> None:
        """Ends the processes with a stack."""
        self._stack = stack

    def opened(self, entrant: Entrant) -> bool:
        """Makes an entrant ready, once; tells whether it is, and predicts what the bundle does."""
        name = entrant.name
        if name not in self._open and name not in self.out:
            to = self._folder / f"said-{len(self._open) + len(self.out)}.npz"
            given = dict(entrant.options)
            if entrant.family in KEPT:
                given["model"] = str(self._graph)
            answer = self._ask(entrant.family, {"open": name, "with": given, "to": str(to)})
            why = answer.get("error") or self._unlike(to)
            if why:
                self.out[name] = entrant.family, why
            else:
                self._open.add(name)
        return name in self._open

    def _unlike(self, path: Path) -> str:
        with np.load(path, allow_pickle=False) as said:
            for name, expected in self._expected.items():
                difference = apart(said[name], expected)
                if difference > _SAME:
                    return (
                        f"it predicts otherwise than the bundle (by {difference:.2g} on "
                        f"{len(expected)} row(s))"
                    )
        return ""

    def fastest(self, entrants: Sequence[Entrant]) -> Entrant:
        """Returns the fastest of those that are ready; the first one where it is within noise of it."""
        ready = [each for each in entrants if self.opened(each)]
        if len(ready) < 2:
            return ready[0] if ready else entrants[0]
        times = self.timed(ready, _ROUNDS)
        best = min(ready, key=lambda each: times[each.name].median)
        _, (low, _) = times[best.name].gain_over(times[ready[0].name])
        return best if low > 1.0 else ready[0]

    def timed(self, entrants: Sequence[Entrant], rounds: int) -> dict[str, Latency]:
        """Times entrants turn by turn; the first calls, which also warm up, are left out."""
        calls = {}
        for each in entrants:
            fastest = min(self._call(each, 1) for _ in range(_WARM))
            calls[each.name] = max(1, min(_MOST_CALLS, math.ceil(_LEAST_MS / max(fastest, 1e-6))))
        times = np.empty((len(entrants), rounds))
        for turn in range(rounds):
            for place in range(len(entrants)):
                index = (place + turn) % len(entrants)
                times[index, turn] = self._call(entrants[index], calls[entrants[index].name])
        return {each.name: Latency(times[at]) for at, each in enumerate(entrants)}

    def _call(self, entrant: Entrant, times: int) -> float:
        answer = self._ask(entrant.family, {"call": entrant.name, "times": times})
        return float(answer.get("ms", math.inf))

    def _ask(self, family: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        process = self._processes.get(family)
        if process is None:
            process = self._stack.enter_context(_started(family, self._folder / "rows.npz"))
            self._processes[family] = process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        return dict(json.loads(line)) if line else {"error": f"the process of {family} has ended"}


@contextlib.contextmanager
def _started(family: str, rows: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-I", str(Path(runners.__file__)), family, str(rows)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
