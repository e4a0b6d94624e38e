"""The best validation score over the campaign's seconds, and what more time would probably give."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from pawl.report import charts
from pawl.report.figures import Figure, Table
from pawl.report.parts.part import Content, Part, Section
from pawl.report.series import Lines, domain_of
from pawl.report.summary import Summary
from pawl.report.text import capital, duration, metric_name, number

if TYPE_CHECKING:
    from pawl.evidence import CampaignOutcome
    from pawl.execution import Session

_PHASES = {"search": "networks", "learners": "learners"}
_TONES = {"networks": "final", "learners": "baseline"}


class Best(Content):
    """A validation score that no earlier one of the same kind reached, after so many seconds."""

    seconds: float
    score: float


class Progress(Content):
    """New best scores of networks and of learners, on the rows that the search validates on.

    `searched` are the seconds at which the search began and ended.
    """

    best: dict[str, list[Best]]
    searched: tuple[float, float] | None


def gather(session: Session, _: CampaignOutcome) -> Progress | None:
    """Returns the best scores so far, in time; `None` where nothing was searched."""
    sign = session.problem.objective.sign
    best = defaultdict[str, list[Best]](list)
    searched = list[float]()
    for unit in session.ledger.units():
        kind = _PHASES.get(unit.phase)
        scores = [
            trial.score
            for trial in unit.trials
            if trial.status == "completed"
            and trial.score is not None
            and math.isfinite(trial.score)
        ]
        if kind is None or not scores:
            continue
        if unit.phase == "search":
            searched += [round(unit.elapsed - unit.seconds, 3), round(unit.elapsed, 3)]
        found = max(scores, key=lambda score: sign * score)
        so_far = best[kind]
        if not so_far or sign * found > sign * so_far[-1].score:
            so_far.append(Best(seconds=round(unit.elapsed, 3), score=found))
    if not best:
        return None
    return Progress(best=dict(best), searched=(searched[0], searched[-1]) if searched else None)


def section(progress: Progress, summary: Summary) -> Section:
    """Returns the scores as steps over the seconds, and what they say of more time."""
    metric = metric_name(summary.metric)
    rows = [
        {
            "step": best.seconds,
            "value": best.score,
            "tone": _TONES[kind],
            "line": kind,
            "mean": True,
        }
        for kind, found in progress.best.items()
        for best in (*found, found[-1].model_copy(update={"seconds": round(summary.seconds, 3)}))
    ]
    scores = [best.score for found in progress.best.values() for best in found]
    lines = Lines(
        data=rows, domain=domain_of(scores, summary.direction), axis="seconds", held=True,
        reach=(0.0, max(summary.seconds, summary.budget_seconds or 0.0)),
    )  # fmt: skip
    told = "; ".join(
        f"{kind} {number(found[-1].score, 4)} after {duration(found[-1].seconds)}"
        for kind, found in progress.best.items()
    )
    figure = Figure(
        title=f"Best validation {metric} over the campaign's time",
        caption="Of single models, on the rows that the search validates on; no claim rests on it.",
        drawing=charts.lines(lines, label=f"Best validation {metric}: {told}", half=False),
        table=Table(
            heads=("Of", "After", f"Validation {metric}"),
            rows=[
                (capital(kind), duration(best.seconds), number(best.score, 5))
                for kind, found in progress.best.items()
                for best in found
            ],
        ),
        legend=[(f"line-{_TONES[kind]}", kind) for kind in progress.best],
    )
    return Section(
        title="What time gave", lead=more_time(progress, summary.direction), figures=[figure]
    )


def more_time(progress: Progress, direction: str) -> str:
    """Returns what a search of twice the time would probably give.

    By what the last doubling gave: of random and guided search alike the best score rises about with
    the logarithm of the number of trials, and flattens.
    """
    found, searched = progress.best.get("networks", []), progress.searched
    half = sum(searched) / 2 if searched else 0.0
    before = [best for best in found if best.seconds <= half]
    if searched is None or not before:
        return "The search was too short to say what more time would give."
    sign = 1.0 if direction == "maximize" else -1.0
    gained = sign * (found[-1].score - before[-1].score)
    if gained <= 0.0:
        return (
            f"From {duration(half)} to {duration(searched[1])}, the search's last doubling, its best "
            "network became no better: more time for the search alone would probably give little."
        )
    return (
        f"From {duration(half)} to {duration(searched[1])}, the search's last doubling, the validation "
        f"score of its best network improved by {number(gained, 4)}. Twice the time would probably give "
        "less than that again: such a best is also the luckiest of its trials."
    )


PART = Part(name="progress", version=1, content=Progress, gather=gather, section=section, place=90)
