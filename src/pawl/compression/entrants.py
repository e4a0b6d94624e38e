"""Entrants of a bake-off of runtimes: their processes, whether they predict alike, and their times."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pawl.data.types import Examples
from pawl.deployment import Latency, runners
from pawl.deployment.export import predict
from pawl.deployment.records import apart

_WARM, _CHECKED = 6, 256
_LEAST_MS, _MOST_CALLS = 0.5, 50
_SAME = 1e-3
_SLOW_START = 5.0
"""How many times as long as later ones the first calls may take before it is said."""
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


class Field:
    """The entrants' processes.

    Attributes:
        out: Entrants that are out, with family and reason.
        first: Milliseconds of the slowest of an entrant's first calls, which do not count.
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
        self.first: dict[str, float] = {}

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
            self.first[name] = float(answer.get("first_ms", 0.0))
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

    def fastest(self, entrants: Sequence[Entrant], rounds: int) -> Entrant:
        """Returns the fastest of those that are ready; the first one where it is within noise of it."""
        ready = [each for each in entrants if self.opened(each)]
        if len(ready) < 2:
            return ready[0] if ready else entrants[0]
        times = self.timed(ready, rounds)
        best = min(ready, key=lambda each: times[each.name].median)
        _, (low, _) = times[best.name].gain_over(times[ready[0].name])
        return best if low > 1.0 else ready[0]

    def timed(self, entrants: Sequence[Entrant], rounds: int) -> dict[str, Latency]:
        """Times entrants turn by turn; the first calls, which also warm up, are left out."""
        calls = {}
        for each in entrants:
            warm = [self._call(each, 1) for _ in range(_WARM)]
            fastest = min(warm)
            self.first[each.name] = max(*warm, self.first.get(each.name, 0.0))
            calls[each.name] = max(1, min(_MOST_CALLS, math.ceil(_LEAST_MS / max(fastest, 1e-6))))
        times = np.empty((len(entrants), rounds))
        for turn in range(rounds):
            for place in range(len(entrants)):
                index = (place + turn) % len(entrants)
                times[index, turn] = self._call(entrants[index], calls[entrants[index].name])
        return {each.name: Latency(times[at]) for at, each in enumerate(entrants)}

    def slow_start(self, entrant: Entrant, usual: float) -> str:
        """Says that an entrant's first calls took much longer than the usual one; empty if not."""
        first = self.first.get(entrant.name, 0.0)
        if first < _SLOW_START * usual:
            return ""
        return f"its first calls took up to {first:.3g} ms, and do not count"

    def _call(self, entrant: Entrant, times: int) -> float:
        answer = self._ask(entrant.family, {"call": entrant.name, "times": times})
        return float(answer.get("ms", math.inf))

    def _ask(self, family: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        process = self._processes.get(family)
        if process is None:
            process = self._stack.enter_context(started(family, self._folder / "rows.npz"))
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
def started(family: str, rows: Path) -> Iterator[subprocess.Popen[str]]:
    """Starts a family's process, and ends it."""
    command = [sys.executable, "-I", str(Path(runners.__file__)), family, str(rows)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
