"""How a structure is best trained here: fused or one by one, compiled or not, in how many processes."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from pawl.errors import PawlError
from pawl.execution.devices import ExecutorName, worker_counts
from pawl.execution.measuring import Measured, Memory, measure, probes, probing_seconds
from pawl.execution.ways import Way
from pawl.recipe import Recipe
from pawl.training.fused import FusedStepper
from pawl.training.population import Layout, Member, Population, Stepper
from pawl.training.problem import Problem
from pawl.training.serial import SerialStepper

Ahead = Callable[[float], float]
"""Tells how many seconds a structure will train, given seconds per step and member.

A number of trials takes longer the slower they are; a budget does not.
"""

_MEMORY_SHARE = 0.1  # of what there is, for weights and optimizer states
_COPIES = 8  # weights, gradients, optimizer state, best and average weights, leaves and slack
_WIDEST, _WIDTHS, _COMPILED_WIDTHS = 64, (8, 2, 32), (32, 64)
_SHARED = 0.12  # of a step; if less is the same for any width, wider populations gain nothing
_PROBING_SHARE = 0.03
_LONG_STEP_SECONDS = 0.03  # fusing would save a few milliseconds of these, and probing take seconds
_LONG_AHEAD = 1000
_COMPILED_SAVES, _WIDTH_SAVES = 0.35, 0.1  # of the time ahead, before it was measured
_SERIAL_TYPES = (nn.RNNBase,)
_SERIAL_ON_CPU = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Plan:
    """How to train members of one structure.

    Attributes:
        way: The way.
        reason: Why, in a few words.
    """

    way: Way
    reason: str

    @property
    def width(self) -> int:
        """Most members of a population."""
        return self.way.width

    @property
    def workers(self) -> int:
        """Processes that train at once; 1 is this one."""
        return self.way.workers

    def stepper(self, members: int) -> Stepper:
        """Returns a fresh stepper for populations that start with so many members."""
        return self.way.stepper(members)

    def narrowed(self, width: int) -> Plan:
        """Returns the plan for narrower populations."""
        return replace(self, way=replace(self.way, width=width))

    def to_dict(self) -> dict[str, Any]:
        """Returns the plan as the ledger keeps it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Plan:
        """Returns the plan that `to_dict` wrote."""
        return cls(Way(**given["way"]), given["reason"])


def plan(
    problem: Problem,
    recipe: Recipe,
    member: Member,
    *,
    timed: bool,
    ahead: Ahead = lambda _: 0.0,
    executor: ExecutorName = "auto",
) -> Plan:
    """Chooses how to train a structure.

    A structure that `vmap` cannot take runs serially. Otherwise, with `timed`, the ways take a few
    steps each, as far as that is little beside the training ahead, and the one is chosen that ends
    first, compiling included; without, fixed rules decide, so that the same command gives the same
    plan: recurrent networks, and convolutions on a CPU, run serially, all else fused; on a CPU in
    as many processes as there are threads.

    Args:
        problem: The task.
        recipe: Any recipe of the structure.
        member: A member to probe with (its recipe is replaced).
        timed: Whether clocks may decide.
        ahead: How long the structure will train.
        executor: Where steps may run: `inline`, `processes`, or `auto` for whichever is faster.
    """
    _, body, _ = problem.build(recipe, member.seed, member.train)
    workers = worker_counts(problem.device, executor)
    width = _width(Layout.of(body), problem.device, max(workers))
    (probe,) = probes(recipe, member, 1)
    if timed and problem.device.type == "cpu":
        seconds = _seconds_alone(problem, probe)
        if seconds > _LONG_STEP_SECONDS and ahead(seconds) < _LONG_AHEAD * seconds:
            way = Way("serial", width, workers=max(workers))
            return Plan(way, f"{1e3 * seconds:.0f} ms a step: nothing left to save")
    refusal = _refusal(problem, probe)
    modules = list(body.modules())
    if timed and problem.device.type == "cpu":
        # Kernels of convolutions are called as they are: a compiler has nothing to save there.
        compiles = shutil.which("c++") is not None and not any(
            isinstance(m, _SERIAL_ON_CPU) for m in modules
        )
        return _timed(problem, probe, workers, width, ahead, refusal, compiles)
    if refusal:
        return Plan(Way("serial", width, workers=max(workers)), refusal)
    if any(isinstance(m, _SERIAL_TYPES) for m in modules):
        way = Way("serial", width, workers=max(workers))
        return Plan(way, "recurrent layers gain nothing from fusing")
    if problem.device.type == "cpu" and any(isinstance(m, _SERIAL_ON_CPU) for m in modules):
        return Plan(Way("serial", width, workers=max(workers)), "convolutions on a CPU")
    return Plan(Way("fused", width, workers=max(workers)), "vmap takes the model")


def _width(layout: Layout, device: torch.device, workers: int) -> int:
    """Returns how many members fit into a share of all the memory there is.

    By what is free just now, the same command could give another plan.
    """
    weights = max(1, sum(layout.sizes))
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(_WIDEST, int(_MEMORY_SHARE * memory / workers / (4 * _COPIES * weights))))


def _refusal(problem: Problem, probe: Member) -> str | None:
    """Says why two members cannot take a fused step; `None` if they can."""
    try:
        population = Population(problem, [probe, probe], FusedStepper())
        population.advance(1)
        population.predict(problem.examples, probe.valid[:2])
    except PawlError:
        raise
    except Exception as error:  # whatever vmap cannot take: data-dependent code, missing rules
        first = str(error).strip().splitlines()
        return f"vmap refuses the model ({first[0][:120] if first else type(error).__name__})"
    return None


def _seconds_alone(problem: Problem, probe: Member) -> float:
    """Measures a serial step by the processor's clock, which a busy machine does not stretch."""
    population = Population(problem, [probe], SerialStepper())
    population.advance(1)
    started = time.thread_time()
    population.advance(1)
    return time.thread_time() - started


def _timed(
    problem: Problem,
    probe: Member,
    workers: tuple[int, ...],
    width: int,
    ahead: Ahead,
    refusal: str | None,
    compiles: bool,
) -> Plan:
    memory = Memory(problem, probe.recipe, probe)
    timings: dict[Way, Measured] = {}

    def total(way: Way) -> float:
        """Seconds that the way takes for what the best does that needs no compiler."""
        base = min(each.seconds for known, each in timings.items() if not known.compiled)
        measured = timings[way]
        if math.isinf(measured.seconds):
            return math.inf
        return measured.setup + ahead(base) * measured.seconds / base

    for way in _candidates(workers, width, refusal, compiles, timings):
        if way not in memory.known:
            if timings and not _worthwhile(way, min(timings, key=total), timings, ahead, memory):
                continue
            try:
                measured = measure(problem, probes(probe.recipe, probe, way.width), way)
            except PawlError:
                raise
            except Exception:  # out of memory, or a compiler that gives up: not a way to go
                measured = Measured(float("inf"))
            memory.add(way, measured)
            timings[way] = replace(measured, setup=0.0)  # what is compiled stays so
        else:
            timings[way] = memory.known[way]
    best = min(timings, key=total)
    told = ", ".join(f"{way}: {1e3 * timings[way].seconds:.3g} ms" for way in timings)
    reason = f"{told} per step and member" + (f"; {refusal}" if refusal else "")
    best = _widened(best, timings, width)
    return Plan(replace(best, least=_least(best, timings)), reason)


def _least(best: Way, timings: dict[Way, Measured]) -> int:
    """Returns the fewest members whose fused steps take less than one after the other's."""
    serial = timings.get(Way("serial", 1, workers=best.workers))
    if best.mode == "serial" or serial is None:
        return best.least
    (narrow, slower), *wider = sorted(
        (way.width, measured.seconds)
        for way, measured in timings.items()
        if way.mode == "fused" and not way.compiled and way.workers == best.workers
    )
    if not wider:
        return best.least
    wide, faster = wider[0]
    each = (wide * faster - narrow * slower) / (wide - narrow)
    shared = wide * (faster - each)
    most = min((width for width, s in wider if s < serial.seconds), default=best.width // 2)
    if each >= serial.seconds:
        return max(best.least, most)
    return max(best.least, min(most, math.ceil(shared / (serial.seconds - each))))


def _widened(best: Way, timings: dict[Way, Measured], width: int) -> Way:
    """Returns the way with a width that was not timed, where that promises to be faster.

    A step takes a while whatever its width, and a while for each member: two widths tell how much.
    """
    alike = [w for w in timings if replace(w, width=best.width) == best]
    if best.compiled or any(w.width > best.width for w in alike):
        return best
    narrower = max((w.width for w in alike if w.width < best.width), default=0)
    if best.mode == "fused" and narrower:
        narrow = narrower * timings[replace(best, width=narrower)].seconds
        wide = best.width * timings[best].seconds
        each = (wide - narrow) / (best.width - narrower)
        if 1.0 - each * best.width / wide < _SHARED:
            return best
    return replace(best, width=width)


def _candidates(
    workers: tuple[int, ...],
    width: int,
    refusal: str | None,
    compiles: bool,
    timings: dict[Way, Measured],
) -> Iterator[Way]:
    """Yields the ways to time; later ones build on the best of those before."""
    for count in reversed(workers):
        yield Way("serial", 1, workers=count)
        if not refusal:
            yield Way("fused", min(_WIDTHS[0], width), workers=count)
    fused = [way for way in timings if way.mode == "fused"]
    if not fused:
        return
    count = min(fused, key=lambda way: timings[way].seconds).workers
    for each in _WIDTHS[1:]:
        if each <= width:
            yield Way("fused", each, workers=count)
    for each in _COMPILED_WIDTHS if compiles else ():
        if each <= width:
            yield Way("fused", each, compiled=True, workers=count)


def _worthwhile(
    way: Way, best: Way, timings: dict[Way, Measured], ahead: Ahead, memory: Memory
) -> bool:
    """Tells whether timing a way is little beside the training that it may shorten."""
    seconds = timings[best].seconds
    left = ahead(seconds)
    if way.compiled:
        # A second compiled width rarely gains much.
        saves = _WIDTH_SAVES if best.compiled else _COMPILED_SAVES
        return saves * left > memory.compile_seconds
    return probing_seconds(way.width * way.workers * seconds) < _PROBING_SHARE * left
