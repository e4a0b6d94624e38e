"""Of series: the final model beside what a person predicts without one, the last value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pawl.report.figures import Table
from pawl.report.parts.part import Content, Part, Section
from pawl.report.summary import Summary
from pawl.report.text import interval_text, metric_name, number, places

if TYPE_CHECKING:
    from pawl.evidence import CampaignOutcome
    from pawl.execution import Session

Interval = tuple[float, float]


class LastValue(Content):
    """Scores on the test rows with 95% intervals over stretches of time, and what the model gains."""

    steps: int
    ahead: int
    classes: bool
    naive: float
    naive_interval: Interval
    final: float
    final_interval: Interval
    gain: float
    gain_interval: Interval


def gather(session: Session, outcome: CampaignOutcome) -> LastValue | None:
    """Returns the comparison; `None` where rows do not see those before them."""
    from pawl.kinds import KINDS  # noqa: PLC0415  (imports torch)

    against, schema = outcome.test.last_value, session.problem.schema
    if against is None or schema.window is None:
        return None
    return LastValue(
        steps=schema.window.steps,
        ahead=schema.window.ahead,
        classes=KINDS[schema.kind].has_classes,
        naive=against.baseline[0],
        naive_interval=against.baseline[1],
        final=against.final[0],
        final_interval=against.final[1],
        gain=against.gain.effect,
        gain_interval=against.gain.interval,
    )


def section(content: LastValue, summary: Summary) -> Section:
    """Returns both scores, and the difference."""
    metric = metric_name(summary.metric)
    low, high = content.gain_interval
    said = (
        "is shown to beat" if low > 0 else "is worse than" if high < 0 else "is not shown to beat"
    )
    last = "what mostly follows the last known class" if content.classes else "the last known value"
    ahead = "" if content.ahead == 1 else f", {content.ahead} steps ahead"
    rows = []
    for name, value, interval in (
        ("The last value", content.naive, content.naive_interval),
        ("The final model", content.final, content.final_interval),
    ):
        digits = places(interval, value)
        rows.append((name, number(value, digits), interval_text(interval, digits)))
    digits = places(content.gain_interval, content.gain)
    gained = number(content.gain, digits, signed=True)
    rows.append(("Better by", gained, interval_text(content.gain_interval, digits, signed=True)))
    return Section(
        title="Against the last value",
        lead=f"Each row sees {content.steps} rows before it{ahead}. The final model {said} {last}, "
        f"which needs no model, on the {summary.task.test_rows:,} test rows.",
        tables=[
            Table(
                heads=("Prediction", metric, "95% interval"),
                rows=rows,
                note="Intervals are over fifty stretches of time, taken as independent of each other.",
            )
        ],
    )


PART = Part(
    name="last_value", version=1, content=LastValue, gather=gather, section=section, place=15
)
