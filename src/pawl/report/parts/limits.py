"""Limits: what was done to keep them, and what that lost and gained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pawl.report.figures import Table
from pawl.report.parts.part import Content, Part, Section
from pawl.report.summary import Summary
from pawl.report.text import clean, count, humanize, metric_name, number, ratio, size

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
    )  # fmt: skip


def _costs(known: Mapping[str, Any]) -> Costs:
    return Costs(**{name: known[name] for name in Costs.model_fields})


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
    return Section(
        title="Limits", lead=lead, tables=tables if content.changed or content.steps else [],
        note=clean(" ".join(content.notes)),
    )  # fmt: skip


def _metric_row(metric: str, rows: int) -> str:
    return f"{metric}, {count(rows, 'test row')}"


PART = Part(
    name="limits", version=1, content=LimitsSummary, gather=gather, section=section, place=10
)
