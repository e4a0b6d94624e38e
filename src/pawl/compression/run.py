"""A compression from a bundle and rows to what is left, before anything is written."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pawl.compression.candidate import Candidate, Weights
from pawl.compression.chain import MOST_ORDERS, Chain
from pawl.compression.changes import changes
from pawl.compression.judging import Judge
from pawl.compression.limits import Limits
from pawl.compression.result import Compressed, Measured
from pawl.compression.rows import GivenRows
from pawl.compression.runtimes import bake_off
from pawl.compression.work import Goals, Work
from pawl.cores import cores
from pawl.data.types import Examples
from pawl.deployment import BATCH_ROWS, Bundle, memory
from pawl.deployment.export import predict
from pawl.deployment.rebuilding import rebuilt
from pawl.errors import BundleError, TaskError
from pawl.execution import Listener, Silent
from pawl.kinds import KINDS, Conformal
from pawl.options import LimitOptions
from pawl.task import ModelFactory, Objective


@dataclass(frozen=True)
class Settings:
    """How a compression is run.

    Attributes:
        options: Limits, and what may be lost.
        batch: Rows of a call whose latency counts.
        seed: Decides what is random.
        model: What makes the user's own model, if that was given.
        listener: Told how it goes on.
        left: Returns the seconds that are left; `None` where nothing limits them.
        runtimes: Whether runtimes are timed.
        patient: Whether rows that are too few to show anything are a result, and no error.
        orders: How many orders of steps are tried at most.
    """

    options: LimitOptions
    batch: int = 1
    seed: int = 0
    model: ModelFactory | None = None
    listener: Listener = field(default_factory=Silent)
    left: Callable[[], float | None] = lambda: None
    runtimes: bool = False
    patient: bool = False
    orders: int = MOST_ORDERS

    @property
    def limits(self) -> Limits | None:
        """What is to be kept within, if anything is."""
        return Limits(self.options, self.batch) if self.options.limited else None

    @property
    def goals(self) -> Goals:
        """What counts: what is limited, or all. A smaller graph also takes less memory."""
        given = self.options
        speed = given.most_ms is not None
        size = given.most_bytes is not None or given.most_memory is not None
        return Goals(speed or not size, size or not speed, self.batch)


@dataclass(frozen=True, eq=False)
class Pressed:
    """What is left.

    Attributes:
        found: How it came about.
        final: The model.
        conformal: What its predictions come with.
    """

    found: Compressed
    final: Candidate
    conformal: Conformal | None


def run(
    bundle: Bundle, objective: Objective, rows: GivenRows, settings: Settings, folder: Path
) -> Pressed:
    """Runs the steps, and measures what they made.

    Args:
        bundle: The original.
        objective: The metric.
        rows: Those that may be learned from, and those that judge.
        settings: How.
        folder: Where the result will lie.

    Raises:
        TaskError: The rows that judge are too few to show anything, or the metric has no value on them.
    """
    graph = (bundle.folder / "model.onnx").read_bytes()
    weights = Weights.read(bundle.folder / "model.safetensors")
    exact = bundle.task.get("compressed", {}).get("exact", True)
    original = Candidate("original", "", graph, weights, is_exact=exact)
    limits = settings.limits
    expected = bundle.predict_raw(rows.judge)
    judge = Judge(objective, rows.judge, expected, settings.options.allowed)
    work = _work(bundle, objective, rows, original, settings)
    chain, notes = Chain(work, judge, rows.judge, original, settings.orders), list[str]()
    try:
        judge.check_allowed(settings.options.allowed)
        judge.check(expected, chain.errors.next)
        chain.run()
    except TaskError as error:
        if not settings.patient:
            raise
        notes.append(str(error))
    settings.listener.phase("measure", "all candidates side by side")
    batch_rows = settings.batch if settings.batch > 1 else BATCH_ROWS
    before = chain.measure(batch_rows)
    chain.settle(before)
    front = chain.front(before, batch_rows)
    after = before if chain.at < 0 else chain.tried[chain.at].record.measured
    assert after is not None
    conformal = bundle.conformal
    lost = 0.0 if chain.at < 0 else chain.tried[chain.at].record.loss_at_most or 0.0
    earlier = _lost_before(bundle, objective.metric)
    if "compressed" in bundle.task:
        notes.append(_on_top(earlier, lost, objective.metric))
    if chain.at >= 0 and conformal is not None:
        conformal, note = _calibrated(bundle, chain.current, rows.judge, conformal.coverage)
        notes.append(note)
    moved = None
    if chain.at >= 0:
        said = predict(chain.current.graph, rows.judge)
        moved = changes(bundle.schema, rows.judge, expected, said, settings.seed)
    found = Compressed(
        folder=folder, metric=objective.metric, allowed=judge.margin, rows=len(rows.judge),
        told=rows.told, original=before, final=after, batch_rows=batch_rows,
        steps=tuple(each.record for each in chain.tried), notes=tuple(notes), front=tuple(front),
        runtime=_runtimes(bundle, chain.current, rows, settings) if settings.runtimes else {},
        campaign=rows.campaign, limited=limits is not None, missed=_missed(limits, after, graph, rows),
        changes=moved, lost_at_most=None if earlier is None else earlier + lost,
        disturbed=chain.disturbed,
    )  # fmt: skip
    return Pressed(found, chain.current, conformal)


def _lost_before(bundle: Bundle, metric: str) -> float | None:
    """Returns what a bundle may have lost by earlier compressions, 0 without any; `None` if unknown."""
    if "compressed" not in bundle.task:
        return 0.0
    known = bundle.task["compressed"].get("lost", {})
    return float(known["at_most"]) if known.get("metric") == metric else None


def _on_top(earlier: float | None, lost: float, metric: str) -> str:
    told = "the bundle given was compressed before"
    if earlier is not None:
        told += f", when it {_bound(earlier, metric)}"
    told += "; what may be lost counts from the bundle given, so that losses add up"
    if earlier is not None:
        told += f": from the first one on, it {_bound(earlier + lost, metric)}, each bound at 95%"
    return f"{told}; to count from the first one, compress that"


def _bound(lost: float, metric: str) -> str:
    return (
        f"may have lost {lost:.3g} of {metric}"
        if lost >= 0
        else f"gained at least {-lost:.3g} of {metric}"
    )


def _runtimes(
    bundle: Bundle, final: Candidate, rows: GivenRows, settings: Settings
) -> dict[str, Any]:
    """Times runtimes on what is left; its modules are those of its weights, if these are the model."""
    settings.listener.phase("runtimes", "turn by turn")
    module = None
    if final.is_exact:
        with contextlib.suppress(BundleError), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            path.write_bytes(final.weights.to_bytes())
            start = bundle.task.get("start")
            module = rebuilt(bundle.schema, final.graph, str(path), settings.model, start)
    found = bake_off(
        final.graph, rows.work, batch=settings.batch, threads=cores().usable, module=module
    )
    return found.record()


def _missed(
    limits: Limits | None, after: Measured, graph: bytes, rows: GivenRows
) -> tuple[str, ...]:
    if limits is None or limits.keeps(after):
        return ()
    bare = None
    if limits.options.most_memory is not None:
        bare = memory(graph, rows.judge, batch=limits.batch).bare
    return tuple(limits.missed(after, bare))


def _work(
    bundle: Bundle, objective: Objective, rows: GivenRows, original: Candidate, settings: Settings
) -> Work:
    choices = rows.choices(settings.seed)
    said = predict(original.graph, choices)
    return Work(
        schema=bundle.schema,
        objective=objective,
        rows=rows.work,
        choices=choices,
        judge=Judge(objective, choices, said, settings.options.allowed, like=len(rows.judge)),
        original=original.weights,
        teacher=lambda examples: predict(original.graph, examples),
        goals=settings.goals,
        seed=settings.seed,
        shift=float(original.weights.tensors.get("shift", 0.0)),
        model=settings.model,
        start=bundle.task.get("start"),
        listener=settings.listener,
        limits=settings.limits,
        left=settings.left,
        unlabeled=rows.unlabeled,
    )


def _calibrated(
    bundle: Bundle, final: Candidate, rows: Examples, coverage: float
) -> tuple[Conformal | None, str]:
    """Returns a new model's intervals or sets, by the rows that judged it, and what is said of them."""
    predicted: np.ndarray = predict(final.graph, rows)
    kind = KINDS[bundle.schema.kind]
    found = Conformal.of(kind, predicted, rows.known_targets.numpy(), coverage)
    if found is None:
        return (
            None,
            f"{len(rows):,} rows are too few for a coverage of {coverage:g}, which is left out",
        )
    return found, f"what covers {coverage:.0%} of new rows was made anew, by the rows that judged"
