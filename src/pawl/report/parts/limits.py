"""Limits: what was done to keep them, and what that lost and gained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pawl.report.figures import Table
from pawl.report.parts.part import Content, Part, Section
from pawl.report.summary import Summary
from pawl.report.text import (
    clean,
    count,
    humanize,
    interval_text,
    metric_name,
    number,
    p_text,
    ratio,
    size,
)

if TYPE_CHECKING:
    from pawl.evidence import CampaignOutcome
    from pawl.execution import Session

_RECORD = "compress.json"


class Costs(Content):
    """A model on the test rows: metric, latency of one row (ms, one thread), bytes, bytes of memory."""

    value: float
    latency_ms: float
    latency_interval: tuple[float, float]
    size_bytes: int
    memory_bytes: int | None


class LimitStep(Content):
    """What was tried; `loss_at_most` is what it is shown to lose at most, against the original."""

    step: str
    detail: str
    kept: bool
    reason: str
    loss_at_most: float | None
    value: float | None


class Changed(Content):
    """A class or a kind of rows; `before` and `after` are shares that are right, or mean errors."""

    name: str
    rows: int
    before: float
    after: float
    interval: tuple[float, float]
    lost: int | None
    gained: int | None
    p_value: float
    moved: bool


class Otherwise(Content):
    """What the compressed model does otherwise, on the same rows.

    Classes, and the slices with most evidence of a change; p-values are corrected for all that were
    looked at. `calibration` is the mean distance of probabilities from frequencies, before and after.
    """

    statement: str
    measure: str
    parts: list[Changed]
    calibration: tuple[float, float] | None


class LimitsSummary(Content):
    """What a campaign's limits came to.

    `missed` names limits that no model keeps which is shown to lose less than `allowed` of the metric;
    the bundle is then the one that was trained, and `nearest` holds what comes nearest (`final`).
    """

    statement: str
    missed: list[str]
    changed: bool
    allowed: float
    rows: int
    original: Costs
    final: Costs
    steps: list[LimitStep]
    notes: list[str]
    changes: Otherwise | None = None


def gather(session: Session, _: CampaignOutcome) -> LimitsSummary | None:
    """Returns what the compression of this campaign left; `None` where there were no limits."""
    path = session.ledger.folder / _RECORD
    if not path.is_file():
        return None
    known = json.loads(path.read_text(encoding="utf-8"))
    return LimitsSummary(
        statement=known["statement"],
        missed=known["missed"],
        changed=any(step["accepted"] for step in known["steps"]),
        allowed=known["allowed"],
        rows=known["rows"],
        original=_costs(known["original"]),
        final=_costs(known["final"]),
        steps=[
            LimitStep(
                step=step["step"], detail=step["detail"], kept=step["accepted"],
                reason=step["reason"], loss_at_most=step["loss_at_most"], value=step["value"],
            )
            for step in known["steps"]
        ],
        notes=known["notes"],
        changes=_otherwise(known.get("changes")),
    )  # fmt: skip


def _costs(known: Mapping[str, Any]) -> Costs:
    return Costs(**{name: known[name] for name in Costs.model_fields})


def _otherwise(known: Mapping[str, Any] | None) -> Otherwise | None:
    if known is None:
        return None
    found = known["calibration"]
    return Otherwise(
        statement=known["statement"],
        measure=known["measure"],
        parts=[Changed(**part) for part in (*known["classes"], *known["slices"])],
        calibration=None if found is None else (found["before"], found["after"]),
    )


def section(content: LimitsSummary, summary: Summary) -> Section:
    """Returns what was reached, by which steps."""
    a, b, metric = content.original, content.final, metric_name(summary.metric)
    if content.missed:
        lead = (
            f"No model that is shown to lose less than {number(content.allowed, 4)} of {metric} keeps "
            f"within the limits: {clean('; '.join(content.missed))}. The bundle holds the model as it "
            "was trained."
        )
        lead += " The nearest one is in the folder nearest." if content.changed else ""
    elif content.changed:
        lead = (
            "The bundle holds a compressed model that keeps within the limits; what is said above is of "
            f"the model before (in the folder uncompressed). {clean(content.statement)}, which judged "
            f"it: at 95% over all steps it loses less than {number(content.allowed, 4)}."
        )
    else:
        lead = clean(content.statement)
    rows = [
        (_metric_row(metric, content.rows), number(a.value, 4), number(b.value, 4), ""),
        (
            "Latency, one row",
            f"{number(a.latency_ms)} ms",
            f"{number(b.latency_ms)} ms",
            ratio(a.latency_ms, b.latency_ms, "faster", "slower"),
        ),
        (
            "Size",
            size(a.size_bytes),
            size(b.size_bytes),
            ratio(a.size_bytes, b.size_bytes, "smaller", "larger"),
        ),
    ]
    if a.memory_bytes is not None and b.memory_bytes is not None:
        rows.append(("Memory of a process", size(a.memory_bytes), size(b.memory_bytes), ""))
    tables = [
        Table(heads=("", "As trained", "Nearest" if content.missed else "Bundle", ""), rows=rows)
    ]
    if content.steps:
        tables.append(
            Table(
                heads=("Step", "What was tried", "Left in", "Loses at most", "Why"),
                rows=[
                    (
                        humanize(step.step),
                        clean(step.detail),
                        "yes" if step.kept else "no",
                        number(step.loss_at_most, 4),
                        clean(step.reason),
                    )
                    for step in content.steps
                ],
            )
        )
    told = list(content.notes)
    if content.changes is not None:
        tables.append(_changed(content.changes))
        told.append(f"{content.changes.statement}.")
        if content.changes.calibration is not None:
            before, after = content.changes.calibration
            told.append(f"Calibration error: {number(before, 3)} before, {number(after, 3)} after.")
    return Section(
        title="Limits", lead=lead, tables=tables if content.changed or content.steps else [],
        note=clean(" ".join(told)),
    )  # fmt: skip


def _changed(found: Otherwise) -> Table:
    """Returns what classes and slices lost or gained."""

    def flips(part: Changed) -> str:
        if part.lost is None or part.gained is None:
            return ""
        return f"{part.lost:,} lost, {part.gained:,} gained"

    return Table(
        heads=("Rows", "Number", found.measure.capitalize(), "After", "Difference (95%)", "Rows flipped",
               "p (Holm)"),
        rows=[
            (
                clean(part.name), f"{part.rows:,}", number(part.before, 4), number(part.after, 4),
                interval_text(part.interval, 4, signed=True), flips(part), p_text(part.p_value),
            )
            for part in found.parts
        ],
    )  # fmt: skip


def _metric_row(metric: str, rows: int) -> str:
    return f"{metric}, {count(rows, 'test row')}"


PART = Part(
    name="limits", version=1, content=LimitsSummary, gather=gather, section=section, place=10
)
