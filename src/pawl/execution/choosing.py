"""Which way trains a structure fastest: a few are timed, and the times of the rest follow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pawl.errors import PawlError
from pawl.execution.devices import Place
from pawl.execution.measuring import Measured, TimingCache, measure, probes, probing_seconds
from pawl.execution.ways import TrainingWay
from pawl.training.population import Member
from pawl.training.problem import Problem

TrainingSeconds = Callable[[float], float]
"""Tells how many seconds a structure will train, given seconds per step and member.

A number of trials takes longer the slower they are; a budget does not.
"""

_WIDTHS, _COMPILED_WIDTHS = (8, 2, 32), (32, 64)
_SHARED = 0.12  # of a step; if less is the same for any width, wider populations gain nothing
_PROBING_SHARE = 0.03
_COMPILED_SAVES, _WIDTH_SAVES = 0.35, 0.1  # of the time ahead, before it was measured
_ANOTHER_MACHINE = 1.5
"""A way that takes so many times what is remembered is measured on what is another machine by now."""


@dataclass(frozen=True)
class Takes:
    """What decides which ways a structure can take.

    Attributes:
        refusal: Why members cannot take fused steps; `None` if they can.
        compiles: Whether a compiler may be tried.
        of_images: Whether it convolves images, which may be faster with channels last.
    """

    refusal: str | None
    compiles: bool
    of_images: bool


def choose(
    problem: Problem,
    probe: Member,
    where: Sequence[Place],
    width: int,
    training_seconds: TrainingSeconds,
    takes: Takes,
    memory: TimingCache,
) -> tuple[TrainingWay, str, float]:
    """Times ways, as far as that is little beside the training ahead, and returns the best and why.

    Args:
        problem: The task.
        probe: A member of the structure.
        where: Where members may train.
        width: Most members of a population.
        training_seconds: How long the structure will train, given seconds per step and member.
        takes: What the structure can take.
        memory: What was measured before.

    Returns:
        The way, why, and what a step takes for each member, in seconds.
    """
    timings: dict[TrainingWay, Measured] = {}
    remembered = set(memory.known)

    def total(way: TrainingWay) -> float:
        """Seconds that the way takes for what the best does that needs no compiler."""
        base = min(each.seconds for known, each in timings.items() if not known.compiled)
        measured = timings[way]
        if math.isinf(measured.seconds):
            return math.inf
        return measured.setup + training_seconds(base) * measured.seconds / base

    for way in _candidates(where, width, takes, timings):
        if way not in memory.known:
            if timings and not _worthwhile(
                way, min(timings, key=total), timings, training_seconds, memory
            ):
                continue
            memory.add(way, measured := _measured(problem, probe, way))
            timings[way] = replace(measured, setup=0.0)  # what is compiled stays so
        else:
            timings[way] = memory.known[way]
    best = min(timings, key=total)
    if best in remembered and best.threads > 1:
        # Threads are fast on a machine of one's own only, and that may have been another day.
        now = _measured(problem, probe, best)
        if now.seconds > _ANOTHER_MACHINE * timings[best].seconds:
            memory.forget()
            return choose(problem, probe, where, width, training_seconds, takes, memory)
    seconds = timings[best].seconds if math.isfinite(timings[best].seconds) else 0.0
    told = ", ".join(f"{way}: {1e3 * timings[way].seconds:.3g} ms" for way in timings)
    reason = f"{told} per step and member" + (f"; {takes.refusal}" if takes.refusal else "")
    best = _widened(best, timings, width)
    return replace(best, fewest=_least(best, timings)), reason, seconds


def _measured(problem: Problem, probe: Member, way: TrainingWay) -> Measured:
    try:
        return measure(problem, probes(probe.recipe, probe, way.width), way)
    except PawlError:
        raise
    except Exception:  # out of memory, or a compiler that gives up: not a way to go
        return Measured(float("inf"))


def _least(best: TrainingWay, timings: dict[TrainingWay, Measured]) -> int:
    """Returns the fewest members whose fused steps take less than one after the other's."""
    serial = timings.get(TrainingWay("serial", 1, workers=best.workers, threads=best.threads))
    if best.mode == "serial" or serial is None:
        return best.fewest
    fused = sorted(
        (way.width, measured.seconds)
        for way, measured in timings.items()
        if replace(way, width=best.width) == replace(best, compiled=False)
        and math.isfinite(measured.seconds)
    )
    if len(fused) == 1 or not fused:
        return best.fewest
    shared, each = _parts(*fused[:2])
    most = min((width for width, s in fused[1:] if s < serial.seconds), default=best.width // 2)
    if each >= serial.seconds:
        return max(best.fewest, most)
    return max(best.fewest, min(most, math.ceil(shared / (serial.seconds - each))))


def _widened(best: TrainingWay, timings: dict[TrainingWay, Measured], width: int) -> TrainingWay:
    """Returns the way with a width that was not timed, where that promises to be faster."""
    alike = [w for w in timings if replace(w, width=best.width) == best]
    if best.compiled or any(w.width > best.width for w in alike):
        return best
    narrower = max((w.width for w in alike if w.width < best.width), default=0)
    if best.mode == "fused" and narrower:
        seconds = timings[best].seconds
        narrow = timings[replace(best, width=narrower)].seconds
        shared, _ = _parts((narrower, narrow), (best.width, seconds))
        if shared < _SHARED * best.width * seconds:
            return best
    return replace(best, width=width)


def _parts(narrow: tuple[int, float], wide: tuple[int, float]) -> tuple[float, float]:
    """Returns what a fused step takes whatever its width, and what for each member.

    Args:
        narrow: A width, and seconds per step and member.
        wide: The same of a larger width.
    """
    (few, slower), (many, faster) = narrow, wide
    each = (many * faster - few * slower) / (many - few)
    return many * (faster - each), each


def _candidates(
    where: Sequence[Place],
    width: int,
    takes: Takes,
    timings: dict[TrainingWay, Measured],
) -> Iterator[TrainingWay]:
    """Yields the ways to time; later ones build on the best of those before."""
    for workers, threads in where:
        yield TrainingWay("serial", 1, workers=workers, threads=threads)
        if not takes.refusal:
            yield TrainingWay("fused", min(_WIDTHS[0], width), workers=workers, threads=threads)
    serial = [way for way in timings if way.mode == "serial"]
    if takes.of_images and serial:
        yield replace(min(serial, key=lambda way: timings[way].seconds), channels_last=True)
    fused = [way for way in timings if way.mode == "fused"]
    if not fused:
        return
    fastest = min(fused, key=lambda way: timings[way].seconds)
    for each in _WIDTHS[1:]:
        if each <= width:
            yield replace(fastest, width=each)
    for each in _COMPILED_WIDTHS if takes.compiles else ():
        if each <= width:
            yield replace(fastest, width=each, compiled=True)


def _worthwhile(
    way: TrainingWay,
    best: TrainingWay,
    timings: dict[TrainingWay, Measured],
    training_seconds: TrainingSeconds,
    memory: TimingCache,
) -> bool:
    """Tells whether timing a way is little beside the training that it may shorten."""
    seconds = timings[best].seconds
    left = training_seconds(seconds)
    if way.compiled:
        # A second compiled width rarely gains much.
        saves = _WIDTH_SAVES if best.compiled else _COMPILED_SAVES
        return saves * left > memory.compile_seconds
    return probing_seconds(way.width * way.workers * seconds) < _PROBING_SHARE * left
