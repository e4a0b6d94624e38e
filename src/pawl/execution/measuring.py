"""How long a step takes, by way of training: measured on a few steps, remembered between runs."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pawl.environment import hardware, versions
from pawl.execution.devices import synchronize
from pawl.execution.executors import Heartbeat, Lost, executor_with
from pawl.execution.spending import counted
from pawl.execution.threads import available, using
from pawl.execution.ways import TrainingWay
from pawl.recipe import Recipe
from pawl.training.fused import FusedStepper
from pawl.training.population import Member, Population
from pawl.training.problem import Problem

_BLOCKS, _FEWEST_STEPS, _BLOCK_STEPS = 3, 8, 16
_BLOCK_SECONDS, _LONG_STEP, _LONG_SECONDS = 0.01, 0.04, 0.4
_TIMED_BY = 2
"""Another number where times are taken in another way, so that those that are remembered don't count."""
_COMPILE_SECONDS = 15.0  # before anything was compiled here


@dataclass(frozen=True)
class Measured:
    """What a way of training costs.

    Attributes:
        seconds: Per step and member, all workers at work.
        setup: Seconds before the first step: the compiler's.
    """

    seconds: float
    setup: float = 0.0


def measure(problem: Problem, probes: Sequence[Member], way: TrainingWay) -> Measured:
    """Times a few steps of a way of training, with as many populations at once as it has workers.

    Args:
        problem: The task.
        probes: Members to train, as many as the way's width.
        way: The way.

    Raises:
        Exception: What the model raised; `MemoryError` when a worker died.
    """
    setup = compile_ahead(problem, probes, way)
    make = functools.partial(Population, problem, probes, way.stepper(len(probes)))
    results = executor_with(way.workers, way.threads).run(
        [functools.partial(_time, make)] * way.workers, lambda: None
    )
    lost = [result for result in results if isinstance(result, Lost)]
    if lost:
        raise MemoryError(lost[0].reason)
    return Measured(sum(results) / way.workers / way.workers / len(probes), setup)


def compile_ahead(problem: Problem, members: Sequence[Member], way: TrainingWay) -> float:
    """Compiles a step, if the way says so, for this process and the workers it forks.

    The problem keeps what was compiled: it serves all populations of the structure and width.

    Args:
        problem: The task.
        members: As many as the way's width.
        way: The way.

    Returns:
        The seconds it took; 0 if there is nothing to compile.
    """
    stepper = way.stepper(len(members))
    if not way.compiled or not isinstance(stepper, FusedStepper):
        return 0.0
    with using(way.threads):  # workers inherit code for one thread
        if stepper.is_compiled(Population(problem, members[:1], stepper)):
            return 0.0
        population = Population(problem, members, stepper)
        started = time.perf_counter()
        population.advance(1)
        synchronize(problem.device)
        spent = time.perf_counter() - started
        counted.compiling += spent
        return spent


def _time(make: functools.partial[Population], heartbeat: Heartbeat) -> float:
    """Returns the seconds of one step of a population, the median of a few blocks.

    What neighbors on the same cores take is part of it: they will go on, and hit some ways harder. So
    blocks are long where steps are short: a process that has just begun to compute is favored for a
    few milliseconds, and a call of a single step is slower than its share of a call of many.
    """
    population = make()
    population.advance(1)
    blocks, steps, begun = list[float](), 1, time.perf_counter()
    while len(blocks) < _BLOCKS:
        heartbeat()
        synchronize(population.device)
        started = time.perf_counter()
        population.advance(steps)
        synchronize(population.device)
        took = time.perf_counter() - started
        if steps < _BLOCK_STEPS and took < (_BLOCK_SECONDS if steps > 1 else _LONG_STEP):
            steps = min(_BLOCK_STEPS, max(2 * steps, _FEWEST_STEPS))
            continue
        blocks.append(took / steps)
        if time.perf_counter() - begun > _LONG_SECONDS:
            break
    return statistics.median(blocks)


def probing_seconds(step: float) -> float:
    """Returns about how long timing a way takes whose steps take so many seconds."""
    if step > _LONG_STEP:
        return (1 + min(_BLOCKS, math.ceil(_LONG_SECONDS / step))) * step
    if step > _BLOCK_SECONDS / _FEWEST_STEPS:
        return (2 + _BLOCKS * _FEWEST_STEPS) * step
    return (2 + _FEWEST_STEPS + _BLOCKS * _BLOCK_STEPS) * step


class TimingCache:
    """Measurements of one structure on this machine, kept in the user's cache.

    The key covers the structure, the model as printed, the shapes of the inputs, processor, threads
    and versions; a file that cannot be read or written is treated as empty.

    Args:
        problem: The task.
        recipe: A recipe of the structure.
        probe: A member to build the model with.

    Attributes:
        known: What was measured of the structure's ways.
        compile_seconds: What compiling took here the last time, whatever the structure.
    """

    def __init__(self, problem: Problem, recipe: Recipe, probe: Member) -> None:
        _, body, _ = problem.build(recipe, probe.seed, probe.train)
        shapes = {name: [*x.shape[1:]] for name, x in problem.examples.inputs.items()}
        machine = [hardware(problem.device), available(), versions(), _TIMED_BY]
        told = [
            recipe.structure, str(body), sum(p.numel() for p in body.parameters()), str(shapes),
            len(probe.train).bit_length(), *machine,
        ]  # fmt: skip
        self._path, self._compiling = _path(told), _path(["compiling", *machine])
        self.known: dict[TrainingWay, Measured] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            for entry in json.loads(self._path.read_text(encoding="utf-8")):
                self.known[TrainingWay(**entry["way"])] = Measured(**entry["measured"])
        self.compile_seconds = _COMPILE_SECONDS
        with contextlib.suppress(OSError, ValueError, TypeError):
            self.compile_seconds = float(json.loads(self._compiling.read_text(encoding="utf-8")))

    def forget(self) -> None:
        """Takes what was measured back: the machine is another than it was."""
        self.known.clear()
        _write(self._path, [])

    def add(self, way: TrainingWay, measured: Measured) -> None:
        """Notes a measurement."""
        self.known[way] = measured
        _write(self._path, [{"way": vars(w), "measured": vars(m)} for w, m in self.known.items()])
        if measured.setup:
            self.compile_seconds = measured.setup
            _write(self._compiling, measured.setup)


def _path(told: list[Any]) -> Path:
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "plans" / f"{digest[:32]}.json"


def _write(path: Path, content: Any) -> None:
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(path)


def cache_folder() -> Path:
    """Returns the user's cache for pawl: `$PAWL_CACHE`, or `pawl` in the system's place for it."""
    given = os.environ.get("PAWL_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(given) if given else Path(base or Path.home() / ".cache") / "pawl"


def probes(recipe: Recipe, member: Member, count: int) -> list[Member]:
    """Returns members of different seeds to time a structure with."""
    return [replace(member, recipe=recipe, seed=member.seed + i) for i in range(count)]
