"""Where several objectives were searched for: the trade-offs that no other trial is better than."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pawl.report import charts
from pawl.report.figures import Figure, Table
from pawl.report.parts.part import Content, Part, Section
from pawl.report.series import Lines, domain_of
from pawl.report.summary import Summary
from pawl.report.text import clean, count, metric_name, number

if TYPE_CHECKING:
    from pawl.evidence import CampaignOutcome
    from pawl.execution import Session


class TradeOff(Content):
    """A trial: its validation score, and what its network costs (`pawl.search.costs`)."""

    score: float
    parameters: int
    operations: int
    techniques: str
    recipe: dict[str, dict[str, Any]]


class Front(Content):
    """What was looked for, how many trials ended with a score, and those of the front, best score
    first."""

    objectives: list[str]
    trials: int
    front: list[TradeOff]


def gather(session: Session, outcome: CampaignOutcome) -> Front | None:
    """Returns the front of the search's trials; `None` where the score alone was looked for."""
    from pawl.recipe import Recipe  # noqa: PLC0415  (imports torch)
    from pawl.search.costs import Cost  # noqa: PLC0415
    from pawl.search.objectives import front, values_by  # noqa: PLC0415

    names = session.ledger.identity.get("options", {}).get("objectives") or []
    sign = session.problem.objective.sign
    ended = [
        (trial, trial.score, Cost(**trial.extra["cost"]))
        for trial in session.ledger.trials("search")
        if trial.score is not None and trial.status in ("completed", "stopped")
        if "cost" in trial.extra
    ]
    if len(names) < 2 or not ended:
        return None
    places = front([values_by(names, sign * score, cost) for _, score, cost in ended])
    found = [
        TradeOff(
            score=score, parameters=cost.parameters, operations=cost.operations,
            techniques=Recipe.from_dict(trial.recipe).describe(outcome.baseline), recipe=trial.recipe,
        )
        for trial, score, cost in (ended[place] for place in places)
    ]  # fmt: skip
    found.sort(key=lambda each: -sign * each.score)
    return Front(objectives=names, trials=len(ended), front=found)


def section(content: Front, summary: Summary) -> Section:
    """Returns the front as steps over the number of weights or of operations, and as a table."""
    metric = metric_name(summary.metric)
    by_size = "size" in content.objectives
    axis = "parameters" if by_size else "operations of a row"
    places = [each.parameters if by_size else each.operations for each in content.front]
    scores = [each.score for each in content.front]
    points = sorted(zip(places, scores, strict=True))
    rows = [
        {"step": at, "value": score, "tone": "final", "line": "front", "mean": True}
        for at, score in points
    ]
    several = len(content.objectives) > 2
    lines = Lines(
        data=rows, domain=domain_of(scores, summary.direction), axis=axis, held=not several
    )
    told = ", ".join(f"{number(score, 4)} at {at:,}" for at, score in points)
    figure = Figure(
        title=f"Validation {metric} over {axis}",
        caption="Each corner is a trial that no other is better than in all that was looked for; "
        "validation scores of single models.",
        drawing=charts.lines(lines, label=f"Front: {told}", half=False),
        table=Table(
            heads=(f"Validation {metric}", "Parameters", "Operations of a row", "Against the baseline"),
            rows=[
                (
                    number(each.score, 5), f"{each.parameters:,}", f"{each.operations:,}",
                    clean(each.techniques),
                )
                for each in content.front
            ],
            note="summary.json has their recipes (parts, front), which pawl train takes as TOML tables.",
        ),
    )  # fmt: skip
    return Section(
        title="Trade-offs",
        lead=f"The search looked for {', '.join(content.objectives)} at once. Of {content.trials:,} "
        f"trials that ended, {count(len(content.front), 'is', 'are')} on the front.",
        figures=[figure],
        note="What is delivered is the best by score; no claim rests on this front.",
    )


PART = Part(name="front", version=1, content=Front, gather=gather, section=section, place=96)
