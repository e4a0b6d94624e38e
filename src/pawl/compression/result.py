"""What a compression was and found, as `compress.json` has it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pawl.compression.changes import Changes
from pawl.deployment import Bundle

RECORD = "compress.json"
"""The file of a compression's folder that has what it found."""


@dataclass(frozen=True)
class Measured:
    """A model's score on the rows that judge, and its costs.

    Attributes:
        value: The metric.
        latency_ms: Median of a call of one row, one thread, with its 95% interval.
        latency_interval: See `latency_ms`.
        batch_latency_ms: Likewise, of a call of as many rows as `Compressed.batch_rows`.
        batch_latency_interval: Likewise.
        size_bytes: Of the graph.
        memory_bytes: Most memory of a process that predicts with it; `None` if not asked for.
        latency_p95: 95th percentile of calls of one row; `None` in records that lack it.
        batch_latency_p95: Likewise, of the larger calls.
    """

    value: float
    latency_ms: float
    latency_interval: tuple[float, float]
    batch_latency_ms: float
    batch_latency_interval: tuple[float, float]
    size_bytes: int
    memory_bytes: int | None = None
    latency_p95: float | None = None
    batch_latency_p95: float | None = None


@dataclass(frozen=True)
class StepRecord:
    """A step: what was tried, and what came of it.

    Attributes:
        step: Its name.
        detail: What was tried.
        accepted: Whether it was kept.
        reason: Why.
        value: The metric on the rows that judge; `None` where it was not judged.
        loss: How much worse than the original that is.
        loss_at_most: Upper bound of the loss, one-sided, at the level of its test.
        level: That level; all tests that may fail share an error of 5%. `None` where there was no test.
        speed: How many times as fast as what was kept until then; `None` where it was not measured.
        speed_interval: Its 95% interval.
        shrinkage: How many times as small.
        facts: What was counted.
        measured: Costs beside all others at the end; `None` where there is no candidate.
        on_front: Whether no other candidate that lost little enough is better in all of metric,
            latency and size.
        order: Which order of steps it was tried in; empty for the usual one.
    """

    step: str
    detail: str
    accepted: bool
    reason: str
    value: float | None = None
    loss: float | None = None
    loss_at_most: float | None = None
    level: float | None = None
    speed: float | None = None
    speed_interval: tuple[float, float] | None = None
    shrinkage: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    measured: Measured | None = None
    on_front: bool = False
    order: str = ""


@dataclass(frozen=True)
class Compressed:
    """What `compress` found.

    Attributes:
        folder: Where the new bundle lies.
        metric: What was measured.
        allowed: What may be lost, in the metric's units.
        rows: How many rows judged.
        told: Where rows are from, and what that assumes.
        original: The bundle that was given.
        final: What was left.
        batch_rows: Rows of the larger call.
        steps: In order.
        notes: What a reader should know.
        front: The models that are not worse in all respects than another.
        campaign: Folder of the campaign that the bundle is from, if it is known.
        limited: Whether there were limits.
        missed: Limits that what was left does not keep, a text each with what it costs.
        runtime: Which runtimes were timed, and which is used, as `pawl.compression.runtimes` has it;
            empty where none were.
        changes: What the model that was left does otherwise; `None` where it is the one given.
        lost_at_most: What the model that was left may lose against the first bundle, by the bounds of
            all compressions since, each at 95%; `None` where one of them has left no bound.
        disturbed: What is to be said of the machine while models were timed; empty if it was quiet.
    """

    folder: Path
    metric: str
    allowed: float
    rows: int
    told: str
    original: Measured
    final: Measured
    batch_rows: int
    steps: tuple[StepRecord, ...]
    notes: tuple[str, ...] = ()
    front: tuple[str, ...] = ()
    campaign: Path | None = None
    limited: bool = False
    missed: tuple[str, ...] = ()
    runtime: dict[str, Any] = field(default_factory=dict)
    changes: Changes | None = None
    lost_at_most: float | None = None
    disturbed: str = ""

    @property
    def kept(self) -> tuple[StepRecord, ...]:
        """The steps that made what was left."""
        return tuple(step for step in self.steps if step.accepted)

    @property
    def is_changed(self) -> bool:
        """Whether any step was kept."""
        return bool(self.kept)

    def bundle(self) -> Bundle:
        """Opens the new bundle."""
        return Bundle.open(self.folder / "bundle")

    @property
    def statement(self) -> str:
        """The result in one sentence."""
        if not self.is_changed and self.limited and not self.missed:
            return "The bundle keeps within the limits: it was left as it was."
        if not self.is_changed:
            return "Nothing helps here: the bundle was left as it was."
        a, b = self.original, self.final
        return (
            f"{_times(a.latency_ms, b.latency_ms)} as fast (one row), "
            f"{_times(a.batch_latency_ms, b.batch_latency_ms)} ({self.batch_rows} rows), "
            f"{_times(a.size_bytes, b.size_bytes)} as small; {self.metric} {a.value:.5g} before and "
            f"{b.value:.5g} after on {self.rows:,} rows"
        )

    def to_json(self) -> str:
        """Returns all of it as JSON."""
        content = {"statement": self.statement, **asdict(self), "folder": str(self.folder)}
        if self.changes is not None:
            content["changes"]["statement"] = self.changes.statement
        content["campaign"] = None if self.campaign is None else str(self.campaign)
        return json.dumps(_finite(content), indent=2, ensure_ascii=False)


def _times(before: float, after: float) -> str:
    return f"{before / after:.3g} times"


def _finite(value: Any) -> Any:
    """Returns a value with `None` for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
