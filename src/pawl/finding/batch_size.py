"""`find_batch_size`: how fast batches of each size are, and how many rows a gradient is worth."""

from __future__ import annotations

import functools
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pawl.errors import TaskError, option
from pawl.execution import Heartbeat, Lost, Session, driving, out_of_memory
from pawl.finding.opening import opened
from pawl.finding.pictures import Mark, drawn
from pawl.options import FindBatchSizeCall, optimizing
from pawl.recipe import Recipe
from pawl.training.noise import gradient_noise
from pawl.training.population import Member, Population
from pawl.training.problem import Problem
from pawl.training.serial import SerialStepper

_MOST = 4096
_ROUNDS = 3
_SECONDS = 0.15
"""Of a size in a round, about."""
_KNEE = 0.9
_NOISE_ROWS = 32
"""Rows of the batches by whose gradients noise is measured, at most."""
_NOISE_BATCHES = 64


@dataclass(frozen=True)
class SizeTried:
    """What batches of a size take.

    Attributes:
        size: Rows of a batch.
        milliseconds: Of a step; the least of three rounds, in which all sizes take turns.
        rows_per_second: By that.
        memory_bytes: Most that a step held on a GPU; `None` on a CPU.
        relative_time: Time to the same training loss over that of the best size; `None` where the noise
            of gradients is not known.
    """

    size: int
    milliseconds: float
    rows_per_second: float
    memory_bytes: int | None = None
    relative_time: float | None = None


@dataclass(frozen=True)
class BatchSizes:
    """What was found.

    Attributes:
        sizes: What was tried, from the smallest to the largest that fit into memory.
        suggested: The size that reaches a loss soonest: `(1 + noise / size)` steps of the time measured
            (McCandlish et al. 2018, equation 2.11); the knee, where the noise is not known.
        knee: The smallest size with nine tenths of the most rows per second.
        noise_scale: Rows from which on a larger batch saves few steps, by gradients after `steps` steps
            of training; `None` where they are lost in the noise.
        out_of_memory: The first size that did not fit; `None` if all did.
        steps: That trained before the noise was measured.
        notes: What a reader should know.
    """

    sizes: tuple[SizeTried, ...]
    suggested: int
    knee: int
    noise_scale: float | None
    out_of_memory: int | None
    steps: int
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Returns what was found as JSON."""
        return json.dumps(asdict(self), indent=2)

    def picture(self) -> str:
        """Returns rows per second over sizes as an SVG file's text."""
        marks = [Mark(each.size, each.rows_per_second) for each in self.sizes]
        return drawn(marks, chosen=self.suggested, axis="rows of a batch", title="rows per second")


@optimizing(FindBatchSizeCall)
@driving()
def find_batch_size(source: Any, targets: Any, call: FindBatchSizeCall) -> BatchSizes:
    """Finds a batch size: by the time of a step at each size, memory, and the noise of gradients.

    Sizes are powers of two times the smallest. One model trains alone, as plain steps; the first that
    runs out of memory ends the list. Nothing of it stays: what is trained afterwards is the same, bit by
    bit, and test rows are not touched. With another size the rate changes, too: by the root of the
    ratio for Adam and its kin (Malladi et al. 2022), in proportion for plain gradient descent.

    Args:
        source: As in `optimize`.
        targets: As in `optimize`.

    Raises:
        PawlError: Any wrong input, in one line.

    Example:
        >>> import pawl
        >>> found = pawl.find_batch_size("digits", smallest=32, largest=128, steps=10)
        >>> [each.size for each in found.sizes]
        [32, 64, 128]
    """
    with opened(source, targets, call, "find-batch-size") as (session, recipe):
        found = _found(session, recipe, call)
    if call.picture is not None:
        Path(call.picture).write_text(found.picture(), encoding="utf-8")
    return found


def _found(session: Session, recipe: Recipe, call: FindBatchSizeCall) -> BatchSizes:
    train, _ = session.rows.search
    largest = (
        min(_MOST, max(call.smallest, len(train) // 4)) if call.largest is None else call.largest
    )
    if not call.smallest <= largest <= len(train):
        raise TaskError(
            f"got {option('smallest', call.smallest)} and {option('largest', largest)}; give sizes in "
            f"order, of at most the {len(train)} rows that train"
        )
    grid = [call.smallest << i for i in range(1 + (largest // call.smallest).bit_length())]
    grid = [size for size in grid if size <= largest]
    session.listener.phase("batches", f"{len(grid)} sizes up to {grid[-1]}")
    member = Member(recipe, session.rows.derive("batch"), train, train[:0], 1)
    seconds, refused = _times(session, member, grid)
    if not seconds:
        raise TaskError(
            f"a batch of {grid[0]} rows does not fit into memory; give a smaller {option('smallest')}"
        )
    session.listener.phase("noise", f"after {call.steps} steps")
    noise = _noise(session, member, call.steps)
    tried = [
        SizeTried(size, 1e3 * taken, size / taken, memory)
        for size, (taken, memory) in seconds.items()
    ]
    return judged(tried, noise, refused, call.steps)


def judged(
    tried: Sequence[SizeTried], noise: float | None, refused: int | None, steps: int
) -> BatchSizes:
    """Returns what times and noise say together."""
    fastest = max(each.rows_per_second for each in tried)
    knee = next(each.size for each in tried if each.rows_per_second >= _KNEE * fastest)
    notes, suggested = [], knee
    if noise is None:
        notes.append("gradients are lost in their noise: the size is chosen by speed alone")
    else:
        times = [each.milliseconds * (1 + noise / each.size) for each in tried]
        least = min(times)
        tried = [
            replace(each, relative_time=taken / least)
            for each, taken in zip(tried, times, strict=True)
        ]
        suggested = next(each.size for each in tried if each.relative_time == 1.0)
    return BatchSizes(tuple(tried), suggested, knee, noise, refused, steps, tuple(notes))


def _times(
    session: Session, member: Member, grid: Sequence[int]
) -> tuple[dict[int, tuple[float, int | None]], int | None]:
    """Returns seconds of a step and bytes by size, and the first size that did not fit."""
    populations: dict[int, Population] = {}
    best: dict[int, tuple[float, int | None]] = {}
    refused = None
    for size in grid:
        own = replace(member, recipe=member.recipe.with_("batch_size", size=size))
        try:
            populations[size] = Population(session.problem, [own], SerialStepper())
            populations[size].advance(1)
        except Exception as error:
            if not out_of_memory(error):
                raise
            populations.pop(size, None)
            refused = size
            break
    for _ in range(_ROUNDS):
        for size, population in populations.items():
            session.heartbeat()
            seconds, memory = _timed(population)
            known = best.get(size, (math.inf, memory))
            best[size] = min(known[0], seconds), memory
    return best, refused


def _timed(population: Population) -> tuple[float, int | None]:
    """Returns seconds of a step, over as many as take a while, and the most bytes held on a GPU."""
    device = population.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    started = clock()
    population.advance(1)
    steps = max(1, min(200, round(_SECONDS / max(clock() - started, 1e-6))))
    started = clock()
    population.advance(steps)
    seconds = (clock() - started) / steps
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return seconds, memory


def _noise(session: Session, member: Member, steps: int) -> float | None:
    """Returns the noise scale after so many steps of the recipe, by a worker where there are some."""
    plan = session.trainer.plan(member.recipe)
    work = functools.partial(_noise_after, session.problem, member, steps)
    (found,) = session.trainer.run([work], plan, member)
    return None if isinstance(found, Lost) else found


def _noise_after(
    problem: Problem, member: Member, steps: int, heartbeat: Heartbeat
) -> float | None:
    recipe = member.recipe
    each = problem.fit(recipe, member.train, member.seed).steps_per_epoch
    long = replace(member, epochs=math.ceil(steps / each))
    trained = Population(problem, [long], SerialStepper())
    for taken in range(0, steps, 16):
        heartbeat()
        trained.advance(min(16, steps - taken))
    rows = min(_NOISE_ROWS, max(1, len(member.train) // 4))
    small = replace(long, recipe=recipe.with_("batch_size", size=rows))
    population = Population(problem, [small], SerialStepper())
    for name, tensor in trained.state.buffers.items():
        population.state.buffers[name] = tensor
    population.state.weights.copy_(trained.state.weights)
    batches = min(_NOISE_BATCHES, len(member.train) // rows)
    return gradient_noise(population, batches) if batches > 1 else None
