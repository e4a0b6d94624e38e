"""The steps of a compression, one after the other; each is kept only if it is shown to be worth it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pawl.compression.candidate import Candidate
from pawl.compression.distilling import STEP as DISTILL
from pawl.compression.distilling import distilled
from pawl.compression.factoring import STEP as LOW_RANK
from pawl.compression.factoring import factored
from pawl.compression.graphs import WEIGHTS, bytes_for_weights, clean, half
from pawl.compression.judging import Errors, Judge
from pawl.compression.learned_integers import STEP as INT8_TRAINING
from pawl.compression.learned_integers import integers_learned
from pawl.compression.limits import chosen
from pawl.compression.members import STEP as MEMBERS
from pawl.compression.members import fewer_members
from pawl.compression.pruning import STEP as PRUNE
from pawl.compression.pruning import pruned
from pawl.compression.quantizing import STEP as INT8
from pawl.compression.quantizing import quantized
from pawl.compression.result import Measured, StepRecord
from pawl.compression.sharing import STEP as SHARED
from pawl.compression.sharing import shared
from pawl.compression.sparse import STEP as SPARSE
from pawl.compression.sparse import thinned_out
from pawl.compression.work import LEAST_GAIN, Work
from pawl.data.types import Examples
from pawl.deployment import Latency, disturbed, latencies, memory
from pawl.deployment.export import predict
from pawl.errors import PawlError

Step = Callable[[Work, Candidate], list[Candidate] | str]

STEPS: dict[str, Step] = {
    MEMBERS: fewer_members,
    DISTILL: distilled,
    PRUNE: pruned,
    "graph": clean,
    LOW_RANK: factored,
    INT8_TRAINING: integers_learned,
    INT8: quantized,
    WEIGHTS: bytes_for_weights,
    SPARSE: thinned_out,
    SHARED: shared,
    "float16": half,
}
"""In order; what each proposes goes from the candidate that should lose least on."""
_OF_THE_GRAPH = ("graph", INT8, WEIGHTS, "float16")
"""Steps that train nothing: where there are limits, they come first, on all that the bundle holds."""
MOVES: tuple[tuple[tuple[str, ...], str], ...] = (
    ((PRUNE,), DISTILL),
    ((INT8_TRAINING, INT8), LOW_RANK),
    ((SHARED,), SPARSE),
)
"""What else the order may be: these steps in front of that one, each tried if that one was kept."""
MOST_ORDERS = 1 + len(MOVES)
_SAME = 1e-5


@dataclass(frozen=True, eq=False)
class Tried:
    """A candidate with what is on record of it, or a step without any.

    Attributes:
        record: What is on record.
        candidate: The model; `None` where a step had none.
        passed: Whether it loses little enough.
        base: Which of what was tried it was made of; -1 for the original.
    """

    record: StepRecord
    candidate: Candidate | None = None
    passed: bool = False
    base: int = -1


class Chain:
    """Runs the steps.

    Args:
        work: What steps get.
        judge: Judges candidates on rows that had no part in making them.
        rows: The rows that judge.
        original: The bundle's model.
        orders: How many orders of steps are tried at most.

    Attributes:
        errors: What tests may still err.
        at: Which of what was tried is kept so far; -1 for the original.
        tried: All that was tried, in order.
        disturbed: What is to be said of the machine during the last measurement.
    """

    def __init__(
        self, work: Work, judge: Judge, rows: Examples, original: Candidate, orders: int = 1
    ) -> None:
        self.work, self.judge, self.rows, self._orders = work, judge, rows, orders
        self._order, self._after = "", dict[tuple[int, str], int]()
        self.original, self.errors = original, Errors()
        self.at = -1
        self.tried: list[Tried] = []
        self.disturbed = ""

    @property
    def current(self) -> Candidate:
        """The model that is kept so far."""
        return self._made(self.at)

    def _made(self, at: int) -> Candidate:
        made = self.original if at < 0 else self.tried[at].candidate
        assert made is not None
        return made

    def run(self) -> None:
        """Runs all steps in order; then in other orders, as far as these could differ.

        With limits it ends where they are kept, and steps that train nothing are first taken alone: they
        lose least. If they are not enough, all are taken from the start.
        """
        began = time.monotonic()
        if self.work.limits is not None:
            if self._is_enough() or self._run(_OF_THE_GRAPH):
                return
            self.at = -1
        if not self._run(STEPS):
            self._reorder(time.monotonic() - began)

    def _reorder(self, seconds: float) -> None:
        """Tries other orders, which compete with the best so far by the rule that holds for steps.

        A step in front of one that was kept starts from another model than before; in front of one that
        was not, it would do the same again. Where it is not kept there, the order is given up: the rest
        would be as before. What is known of a step that starts from a model is not found out twice.

        Args:
            seconds: What the usual order took; another one needs as many.
        """
        best, order, tried = self.at, tuple(STEPS), 1
        for first, behind in MOVES:
            left = self.work.left()
            late = left is not None and left < seconds
            if late or tried == self._orders or behind not in self._line(best):
                continue
            tried += 1
            self.at, self._order = -1, f"{first[-1]} before {behind}"
            names = moved(order, first, behind)
            split = names.index(behind)
            if self._run(names[:split]):
                return
            if self._line(self.at).intersection(first):
                if self._run(names[split:]):
                    return
                if self.work.gain(self.current.graph, self._made(best).graph).is_worth(
                    self.work.goals
                ):
                    best, order = self.at, names
        self.at = best

    def _line(self, at: int) -> set[str]:
        """Returns the steps that made a model."""
        names = set[str]()
        while at >= 0:
            names.add(self.tried[at].record.step)
            at = self.tried[at].base
        return names

    def _run(self, names: Iterable[str]) -> bool:
        """Runs these steps; returns whether limits that there are were kept, upon which it stops."""
        for name in names:
            start = self.at, name
            if start in self._after:
                self.at = self._after[start]
                continue
            self.work.listener.phase(name, "candidates")
            try:
                found = STEPS[name](self.work, self.current)
            except PawlError as error:  # the other steps may do without
                found = str(error)
            if isinstance(found, str):
                record = StepRecord(name, "", accepted=False, reason=found, order=self._order)
                self.tried.append(Tried(record))
            else:
                self.work.listener.phase(name, "what it gains and loses")
                if self._climbed(found):
                    return True
            self._after[start] = self.at
        return False

    def _climbed(self, found: Sequence[Candidate]) -> bool:
        """Tries a step's candidates in order, until one loses too much; the last one kept counts.

        Returns whether limits that there are were kept, upon which it stops.
        """
        base = self.at
        for candidate in found:
            tried = replace(self._try(candidate), base=base)
            self.tried.append(tried)
            if tried.record.accepted:
                self.at = len(self.tried) - 1
                if self.work.limits is not None and self._is_enough():
                    return True
            elif not tried.passed and tried.record.loss is not None:
                return False
        return False

    def _is_enough(self) -> bool:
        return self.work.room(self.current.graph) >= 1.0

    def _try(self, candidate: Candidate) -> Tried:
        """Measures first: what gains nothing needs no test."""
        gain = self.work.gain(candidate.graph, self.current.graph)
        record = StepRecord(
            candidate.step, candidate.detail, accepted=False, reason="", speed=gain.speed,
            speed_interval=gain.interval, shrinkage=gain.size, facts=candidate.facts,
            order=self._order,
        )  # fmt: skip
        predicted = predict(candidate.graph, self.rows)
        if candidate.is_lossless:
            return self._compared(
                candidate, record, predicted, worth=gain.is_worth(self.work.goals)
            )
        if not gain.is_worth(self.work.goals):
            return Tried(replace(record, reason=_no_gain(record, self.work)), candidate)
        error = self.errors.next
        judged = self.judge(predicted, error)
        record = replace(
            record, value=judged.value, loss=judged.loss, loss_at_most=judged.at_most,
            level=1.0 - error, accepted=judged.passed,
        )  # fmt: skip
        if not judged.passed:
            self.errors.failed()
        if judged.passed and judged.at_most < 0:
            reason = f"gains at least {-judged.at_most:.3g}"
        elif judged.passed:
            reason = f"loses less than {judged.allowed:.3g}: at most {judged.at_most:.3g}"
        else:
            reason = (
                f"may lose {judged.at_most:.3g} (it lost {judged.loss:.3g}), where "
                f"{judged.allowed:.3g} is allowed"
            )
        return Tried(replace(record, reason=reason), candidate, judged.passed)

    def _compared(
        self, candidate: Candidate, record: StepRecord, predicted: np.ndarray, *, worth: bool
    ) -> Tried:
        """Holds a candidate that computes the same to it; such a one needs no test."""
        before = predict(self.current.graph, self.rows)
        apart = float(np.abs(predicted - before).max() / max(1.0, float(np.abs(before).max())))
        record = replace(record, value=self.judge(predicted).value)
        if not apart <= _SAME:
            return Tried(replace(record, reason=f"predicts otherwise (by {apart:.2g})"), candidate)
        base = 0.0 if self.at < 0 else self.tried[self.at].record.loss_at_most
        record = replace(record, loss_at_most=base)
        if not worth:
            return Tried(
                replace(record, reason=_no_gain(record, self.work)), candidate, passed=True
            )
        told = f"predicts the same (within {_SAME:g})"
        return Tried(replace(record, reason=told, accepted=True), candidate, passed=True)

    def measure(self, batch_rows: int) -> Measured:
        """Times all candidates once more, side by side; returns the original's costs.

        Memory is measured where it is limited, of those that lose little enough.
        """
        own = {-1: self.original.graph}
        own |= {at: t.candidate.graph for at, t in enumerate(self.tried) if t.candidate}
        graphs, seconds = {str(at): graph for at, graph in own.items()}, self.work.timing_seconds()
        single = latencies(graphs, self.rows, seconds=seconds)
        several = latencies(graphs, self.rows, batch=batch_rows, seconds=seconds)
        self.disturbed = disturbed([*single.values()]) or disturbed([*several.values()])
        limits = self.work.limits

        def costs(at: int, value: float, *, passed: bool) -> Measured:
            one, many, peak = single[str(at)], several[str(at)], None
            if passed and limits is not None and limits.options.most_memory is not None:
                peak = memory(own[at], self.rows, batch=limits.batch).peak
            return Measured(value, *_told(one), *_told(many), len(own[at]), peak, one.p95, many.p95)

        for at, tried in enumerate(self.tried):
            if tried.candidate is not None:
                value = math.nan if tried.record.value is None else tried.record.value
                found = costs(at, value, passed=tried.passed)
                self.tried[at] = replace(tried, record=replace(tried.record, measured=found))
        return costs(-1, self.judge.value, passed=True)

    def settle(self, original: Measured) -> None:
        """Decides by what was measured what is left, and puts on record which steps made it."""
        if self.work.limits is not None:
            places, costs, losses = [-1], [original], [0.0]
            for at, tried in enumerate(self.tried):
                if tried.passed and tried.record.measured is not None:
                    places.append(at)
                    costs.append(tried.record.measured)
                    losses.append(tried.record.loss_at_most or 0.0)
            self.at = places[chosen(self.work.limits, costs, losses, places.index(self.at))]
        line, at = set[int](), self.at
        while at >= 0:
            line.add(at)
            at = self.tried[at].base
        for at, tried in enumerate(self.tried):
            record = tried.record
            if record.accepted != (at in line):
                why = "another model is left" if record.accepted else "the limits decide"
                reason = f"{record.reason}; {why}"
                self.tried[at] = replace(
                    tried, record=replace(record, accepted=at in line, reason=reason)
                )

    def front(self, original: Measured, batch_rows: int) -> list[str]:
        """Returns which models that lose little enough no other is better than, and puts it on record.

        Point estimates of metric, latency (of as many rows as count) and size.
        """
        sign, single = self.judge.objective.sign, self.work.goals.batch != batch_rows

        def place(m: Measured) -> tuple[float, float, float]:
            return -sign * m.value, m.latency_ms if single else m.batch_latency_ms, m.size_bytes

        places = {-1: place(original)}
        for at, t in enumerate(self.tried):
            if t.passed and t.record.measured is not None:
                places[at] = place(t.record.measured)
        best = {
            at
            for at, mine in places.items()
            if not any(_dominates(other, mine) for other in places.values())
        }
        names = ["original"] if -1 in best else []
        for at, t in enumerate(self.tried):
            self.tried[at] = replace(t, record=replace(t.record, on_front=at in best))
            names += [f"{t.record.step}: {t.record.detail}"] if at in best else []
        return names


def moved(order: Sequence[str], first: Sequence[str], behind: str) -> tuple[str, ...]:
    """Returns an order in which these steps are in front of another one.

    Example:
        >>> moved(("a", "b", "c", "d"), ("c",), "b")
        ('a', 'c', 'b', 'd')
    """
    rest = [name for name in order if name not in first]
    at = rest.index(behind)
    return (*rest[:at], *first, *rest[at:])


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _told(latency: Latency) -> tuple[float, tuple[float, float]]:
    return latency.median, latency.interval


def _no_gain(record: StepRecord, work: Work) -> str:
    """Says why a candidate is not worth it, and of integers what they had to do with it."""
    assert record.speed is not None
    assert record.speed_interval is not None
    assert record.shrinkage is not None
    low, high = record.speed_interval
    told = f"{record.speed:.3g} times as fast (95% {low:.3g} to {high:.3g})"
    told += f" and {record.shrinkage:.3g} times as small"
    wanted = [name for name in ("latency", "size") if getattr(work.goals, name)]
    told += f", where {LEAST_GAIN} in {' or '.join(wanted)}"
    told += " is needed" + (", without a loss in the other" if len(wanted) > 1 else "")
    if "conversions" in record.facts:
        told += (
            f"; {record.facts['integer_nodes']} operations compute with integers, and "
            f"{record.facts['conversions']} convert to and from them"
        )
    return told
