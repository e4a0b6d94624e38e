"""Latencies of graphs in ONNX Runtime, side by side, with intervals.

What else a machine does comes in stretches, so that calls in a row are alike: intervals are over blocks
of rounds, and graphs that are compared were called in the same rounds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from pawl.data.types import Examples
from pawl.deployment.export import session
from pawl.models import OUTPUT

ROUNDS = 40
_WARM = 5
_BLOCK = 4
_RESAMPLES = 1000
_LEAST_MS = 0.5
"""Clocks' steps and interrupts are small against such a time; faster graphs are called again."""
_MOST_CALLS = 50
_FEWEST_ROUNDS = 12
_UNREST = 1.5
"""How many times as slow as the fastest one a stretch of rounds may be before it is said."""


@dataclass(frozen=True, eq=False)
class Latency:
    """Milliseconds of a call, `[rounds]`, in the order in which they were measured.

    Attributes:
        times: Of each round the mean of its calls.
        calls: Of each call; those of rounds are taken if it is not known.
    """

    times: np.ndarray
    calls: np.ndarray | None = None

    @property
    def median(self) -> float:
        """Of all rounds."""
        return float(np.median(self.times))

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the median, by a bootstrap over blocks of rounds (Künsch, 1989)."""
        return _between(np.median(self.times[_resampled(len(self.times))], axis=1))

    @property
    def p95(self) -> float:
        """95th percentile of the calls."""
        return float(np.quantile(self.times if self.calls is None else self.calls, 0.95))

    @property
    def stretches(self) -> np.ndarray:
        """How many times as slow as in the fastest one each stretch of rounds was, `[stretches]`."""
        count = len(self.times) // _BLOCK
        medians = np.median(self.times[: count * _BLOCK].reshape(count, _BLOCK), axis=1)
        return np.asarray(medians / medians.min()) if count else np.ones(1)

    def gain_over(self, other: Latency) -> tuple[float, tuple[float, float]]:
        """Returns how many times as fast it is as another of the same rounds, and the 95% interval.

        Ratio of the medians; both are resampled by the same blocks.
        """
        drawn = _resampled(len(self.times))
        mine, theirs = (np.median(each.times[drawn], axis=1) for each in (self, other))
        return other.median / self.median, _between(theirs / mine)


def disturbed(found: Sequence[Latency]) -> str:
    """Says that something else took the machine while models were timed; empty if nothing did.

    Models are called turn by turn, so what takes the machine for a while slows all of them: what counts
    of a stretch of rounds is the model that it slowed least.

    Args:
        found: Latencies of the same rounds.

    Example:
        >>> times = np.repeat([1.0, 3.0], 20)
        >>> disturbed([Latency(times), Latency(np.ones(40))])
        ''
        >>> disturbed([Latency(times), Latency(2 * times)])[:47]
        'something else took the machine for a part of t'
    """
    if not found:
        return ""
    times = float(np.min([each.stretches for each in found], axis=0).max())
    if times < _UNREST:
        return ""
    return (
        "something else took the machine for a part of the timing, when all that was timed took up to "
        f"{times:.2g} times as long; they took turns, so that ratios hold; milliseconds may be too many"
    )


def _resampled(rounds: int) -> np.ndarray:
    """Returns rounds in blocks drawn with replacement, `[resamples, rounds']`; the same each time."""
    length = min(_BLOCK, rounds)
    starts = np.arange(rounds - length + 1)  # moving blocks: every stretch counts alike
    drawn = np.random.default_rng(0).choice(starts, (_RESAMPLES, max(1, rounds // length)))
    return (drawn[..., None] + np.arange(length)).reshape(_RESAMPLES, -1)


def _between(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def latencies(
    graphs: Mapping[str, bytes],
    rows: Examples,
    *,
    batch: int = 1,
    threads: int = 1,
    rounds: int = ROUNDS,
    seconds: float | None = None,
) -> dict[str, Latency]:
    """Times graphs on the same rows, turn by turn, so that a drifting machine hits all alike.

    Each round begins with another graph. Sessions' threads do not spin between calls, so that one does
    not take the cores of the next (`pawl.deployment.export.session`). The first rounds are left out.

    Args:
        graphs: ONNX graphs by name.
        rows: Raw rows; the first are used, repeated where there are fewer than `batch`.
        batch: Rows of a call.
        threads: Of a session.
        rounds: How often each is timed.
        seconds: About how long that may take; there are then fewer rounds, but at least 12.
    """
    sessions = {name: session(graph, threads=threads) for name, graph in graphs.items()}
    chosen = rows.take(torch.arange(batch) % len(rows))
    arrays = {name: tensor.numpy() for name, tensor in chosen.inputs.items()}
    feeds = {
        name: {item.name: arrays[item.name] for item in running.get_inputs()}
        for name, running in sessions.items()
    }

    def call(name: str, times: int) -> list[float]:
        running, feed = sessions[name], feeds[name]
        ends = [time.perf_counter()]
        for _ in range(times):
            running.run([OUTPUT], feed)
            ends.append(time.perf_counter())
        return [1e3 * (end - start) for start, end in pairwise(ends)]

    calls, of_a_round = {}, 0.0
    for name in graphs:
        fastest = min(call(name, _WARM))
        calls[name] = max(1, min(_MOST_CALLS, math.ceil(_LEAST_MS / max(fastest, 1e-6))))
        of_a_round += calls[name] * fastest / 1e3
    if seconds is not None:
        rounds = min(rounds, max(_FEWEST_ROUNDS, int(seconds / max(of_a_round, 1e-9))))
    names, times = list(graphs), np.empty((len(graphs), rounds))
    every: dict[str, list[float]] = {name: [] for name in graphs}
    for turn in range(rounds):
        for place in range(len(names)):
            index = (place + turn) % len(names)
            each = call(names[index], calls[names[index]])
            times[index, turn] = sum(each) / len(each)
            every[names[index]] += each
    return {name: Latency(times[at], np.array(every[name])) for at, name in enumerate(names)}
