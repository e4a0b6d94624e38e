"""What predictions come with, where that was asked for: how sure they are, and what it held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pawl.report.figures import Table
from pawl.report.parts.part import Content, Part, Section
from pawl.report.summary import Summary
from pawl.report.text import clean, interval_text, number, percent

if TYPE_CHECKING:
    from pawl.evidence import CampaignOutcome
    from pawl.execution import Session


class TargetCoverage(Content):
    """Of a target: what its predictions come with, and what that held on the test rows.

    `limit` is half an interval's width, or how far from 1 the probability of a class in the set may be.
    `size` is the intervals' width, or the mean number of classes in a set.
    """

    target: str
    limit: float
    held: float
    interval: tuple[float, float]
    size: float


class CoverageSummary(Content):
    """The share of rows that was asked for, and how many limits were learned by; 0 if too few."""

    asked: float
    classes: bool
    rows: int
    targets: list[TargetCoverage]


def gather(session: Session, outcome: CampaignOutcome) -> CoverageSummary | None:
    """Returns what was asked for, and held; `None` where nothing was."""
    from pawl.kinds import KINDS  # noqa: PLC0415  (imports torch)

    coverage = outcome.coverage
    if coverage is None:
        return None
    schema, conformal = session.problem.schema, coverage.conformal
    named = [column.name for column in schema.targets]
    return CoverageSummary(
        asked=coverage.asked,
        classes=KINDS[schema.kind].has_classes,
        rows=0 if conformal is None else conformal.rows,
        targets=[
            TargetCoverage(
                target=name, limit=limit, held=held.share, interval=held.interval, size=held.size
            )
            for name, limit, held in zip(
                named, () if conformal is None else conformal.limits, coverage.held, strict=False
            )
        ],
    )


def section(content: CoverageSummary, summary: Summary) -> Section:
    """Returns what was asked for beside what the test rows say."""
    what = "set of classes" if content.classes else "interval"
    title = "How sure predictions are"
    if not content.targets:
        return Section(
            title=title,
            lead=f"Asked for was a {what} that holds the truth of {percent(content.asked)} of new rows. "
            "Too few rows were held out from the models that are delivered to know one, so predictions "
            "come with none: a larger budget holds more comparisons.",
        )
    rows = [
        (
            clean(each.target),
            number(each.limit, 4),
            number(each.size, 3),
            f"{100 * each.held:.1f}%",
            interval_text((100 * each.interval[0], 100 * each.interval[1]), 1),
        )
        for each in content.targets
    ]
    limit = "Least probability, less than 1" if content.classes else "Half width"
    size = "Classes in a set" if content.classes else "Width"
    return Section(
        title=title,
        lead=f"Each prediction comes with {'a' if content.classes else 'an'} {what} that is to hold the "
        f"truth of {percent(content.asked)} of new rows, learned by {content.rows:,} rows that were "
        f"held out from the models; below is what it held of the {summary.task.test_rows:,} test rows, "
        "which it was not learned by.",
        tables=[
            Table(
                heads=("Target", limit, size, "Held, test rows", "95% interval, %"),
                rows=rows,
                note="It holds on average over rows drawn like those here, not for each kind of row, "
                "and not where the world changes.",
            )
        ],
    )


PART = Part(
    name="coverage", version=1, content=CoverageSummary, gather=gather, section=section, place=20
)
