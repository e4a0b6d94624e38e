"""What steps of compression work with: rows for choices, rows to learn from, what counts as cost."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from pawl.compression.candidate import Weights
from pawl.compression.judging import Judge, Judged
from pawl.compression.limits import Limits
from pawl.compression.result import Measured
from pawl.data.types import Examples, Schema
from pawl.deployment import ROUNDS, Latency, latencies, memory
from pawl.execution import Listener, Silent
from pawl.task import ModelFactory, Objective

LEAST_GAIN = 1.02
"""How many times as fast or as small a step must make a model to be kept."""
_FEW_ROUNDS, _MOST_TIMINGS = 16, 4
_GRAIN = 0.05
"""Costs that differ by less, as clocks have it, are equal."""
_TIMING_SHARE, _LEAST_TIMING = 0.04, 0.2
"""Of the seconds left those that timing graphs once may take, and the least."""


def _unlimited() -> float | None:
    return None


@dataclass(frozen=True)
class Goals:
    """What counts: latency, size or both; and how many rows a call has."""

    latency: bool = True
    size: bool = True
    batch: int = 1


@dataclass(frozen=True)
class Gain:
    """How many times as fast, with its 95% interval, and as small a model is as another."""

    speed: float
    interval: tuple[float, float]
    size: float

    @property
    def is_faster(self) -> bool:
        """Tells whether it is faster by enough, beyond noise."""
        return self.speed >= LEAST_GAIN and self.interval[0] > 1.0

    @property
    def is_slower(self) -> bool:
        """Tells whether it is slower by as much, beyond noise."""
        return self.speed <= 1.0 / LEAST_GAIN and self.interval[1] < 1.0

    def is_open(self, goals: Goals) -> bool:
        """Tells whether a closer measurement could say otherwise: noise may hide that it is slower."""
        return goals.latency and self.interval[0] < 1.0 / LEAST_GAIN and self.interval[1] >= 1.0

    def is_worth(self, goals: Goals) -> bool:
        """Tells whether one of the goals gains enough, beyond noise, and none of them loses.

        Speed is gained or lost where it is by a factor of `LEAST_GAIN`, and the whole interval on the
        same side of 1.
        """
        smaller, larger = self.size >= LEAST_GAIN, self.size < 1.0 / LEAST_GAIN
        gains = (goals.latency and self.is_faster) or (goals.size and smaller)
        return gains and not (goals.latency and self.is_slower) and not (goals.size and larger)


@dataclass(frozen=True, eq=False)
class Work:
    """What steps get.

    Attributes:
        schema: The bundle's.
        objective: The metric.
        rows: All rows that may be learned from.
        choices: Those that choices are judged on; they may be of these.
        judge: Judges predictions of the rows for choices, as the rows that judge would if these showed
            the same; what it lets pass is tried, no more.
        original: The original's weights and parts.
        teacher: Returns what the original predicts of rows.
        goals: What counts.
        seed: Decides what is random.
        shift: What the original's predictions of two classes are shifted by; see `pawl.models.tempered`.
        model: What makes the user's own model, if that was given.
        start: What the bundle keeps of the weights that it started from, if it did.
        listener: Told how it goes on.
        limits: What is to be kept within, if anything is.
        left: Returns the seconds that are left; `None` where nothing limits them.
        unlabeled: Rows without targets that may be learned from, too, if there are any.
        doubt: How many times what is allowed a network that was trained may lose on the rows for choices
            and still be tried.
        known: What a step keeps for the next ones.
    """

    schema: Schema
    objective: Objective
    rows: Examples
    choices: Examples
    judge: Judge
    original: Weights
    teacher: Callable[[Examples], np.ndarray]
    goals: Goals = Goals()
    seed: int = 0
    shift: float = 0.0
    model: ModelFactory | None = None
    start: dict[str, Any] | None = None
    listener: Listener = field(default_factory=Silent)
    limits: Limits | None = None
    left: Callable[[], float | None] = _unlimited
    unlabeled: Examples | None = None
    doubt: float = 1.0
    known: dict[Any, Any] = field(default_factory=dict)

    @functools.cached_property
    def taught(self) -> np.ndarray:
        """What the original predicts of the rows to learn from, `[R, *P]`."""
        return self.teacher(self.rows)

    def sample(self, count: int) -> Examples:
        """Returns so many of the rows to learn from, drawn at random, the same each time."""
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randperm(len(self.rows), generator=generator)[:count]
        return self.rows.take(drawn.sort().values)

    def timed(
        self, graphs: Mapping[str, bytes], rounds: int = _FEW_ROUNDS, batch: int | None = None
    ) -> dict[str, Latency]:
        """Times graphs turn by turn, with as many rows a call as count."""
        size = self.goals.batch if batch is None else batch
        return latencies(
            graphs, self.choices, batch=size, rounds=rounds, seconds=self.timing_seconds()
        )

    def timing_seconds(self) -> float | None:
        """Returns how long timing may take; `None` for as long as it takes."""
        left = self.left()
        return None if left is None else max(_LEAST_TIMING, _TIMING_SHARE * left)

    def room(self, graph: bytes) -> float:
        """Returns by which factor a graph's costs may grow, or must shrink, to be at the limits."""
        return math.inf if self.limits is None else self.limits.room(self._measured(graph))

    def is_enough(self, graph: bytes) -> bool:
        """Tells whether there are limits that a graph keeps within safely."""
        return self.limits is not None and self.limits.keeps_safely(self._measured(graph))

    def _measured(self, graph: bytes) -> Measured:
        """Measures what is limited, quickly; what is left in the end is measured again."""
        assert self.limits is not None
        given, batch = self.limits.options, self.limits.batch
        one, slow = (math.nan, (math.nan, math.nan)), math.nan
        if given.most_ms is not None:
            found = self.timed({"": graph}, ROUNDS, batch)[""]
            one, slow = (found.median, found.interval), found.p95
        peak = None if given.most_memory is None else memory(graph, self.choices, batch=batch).peak
        return Measured(math.nan, *one, *one, len(graph), peak, slow, slow)

    def costs(self, graphs: Mapping[str, bytes]) -> np.ndarray:
        """Returns what graphs cost by what counts, each part relative to their mean, `[G]`."""
        return np.asarray(self.parts_of_costs(graphs).sum(axis=0))

    def parts_of_costs(self, graphs: Mapping[str, bytes]) -> np.ndarray:
        """Returns size and latency of graphs, as far as they count, relative to their mean, `[C, G]`."""
        parts: list[Any] = []
        if self.goals.size:
            parts.append(np.array([len(graph) for graph in graphs.values()], dtype=float))
        if self.goals.latency:
            found = self.timed(graphs)
            parts.append(np.array([found[name].median for name in graphs]))
        return np.stack([part / part.mean() for part in parts])

    def gain(self, candidate: bytes, current: bytes) -> Gain:
        """Measures a candidate against what there is; four times as long while noise may hide a loss."""
        graphs, rounds = {"current": current, "candidate": candidate}, list[dict[str, Latency]]()
        while True:
            rounds.append(self.timed(graphs, ROUNDS))
            mine, theirs = (
                Latency(np.concatenate([each[name].times for each in rounds]))
                for name in ("candidate", "current")
            )
            found = gained(mine, theirs, len(candidate), len(current))
            enough = len(rounds) == _MOST_TIMINGS or self.left() is not None
            if enough or not (found.is_worth(self.goals) and found.is_open(self.goals)):
                return found

    def is_hopeful(self, judged: Judged) -> bool:
        """Tells whether a network that was trained may pass, by what it lost on the rows for choices.

        Of a campaign's own rows, those for choices are fewer than those that judge, or the original
        learned from them, so that it is better there than elsewhere. So it is tried if it may lose less
        than twice what is allowed: a test that it fails costs a third of the error that is left.
        """
        doubted = self.doubt > 1.0 and judged.at_most < self.doubt * judged.allowed
        return judged.passed or doubted


def gained(mine: Latency, theirs: Latency, size: int, other: int) -> Gain:
    """Returns what a model gains over another: by latencies of the same rounds, and bytes."""
    speed, interval = mine.gain_over(theirs)
    return Gain(speed, interval, other / size)


def undominated(costs: np.ndarray, losses: Sequence[float]) -> list[int]:
    """Returns which candidates are worth a try, from the one that should lose least to the cheapest.

    Those of which none that should lose less costs as little in every part, where costs that differ by
    less than 5% of their mean are equal.

    Args:
        costs: Parts that count, `[C, G]`.
        losses: What each should lose, by the rows for choices, `[G]`.

    Example:
        >>> undominated(np.array([[3.0, 2.0, 1.0, 2.5]]), [0.1, 0.0, 0.2, 0.3])
        [1, 2]
    """
    grains = np.rint(costs / costs.mean(axis=1, keepdims=True) / _GRAIN)
    order = sorted(range(len(losses)), key=lambda at: (losses[at], grains[:, at].sum()))
    return [
        at
        for place, at in enumerate(order)
        if all((grains[:, at] < grains[:, other]).any() for other in order[:place])
    ]
