"""The page of a function's campaign: the same template, with what there is of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pawl.functions.summary import ChangeSummary, FunctionSummary, SettingsArm, headline
from pawl.ledger import TrialRecord
from pawl.report import charts, series
from pawl.report.charts import Row, Tone
from pawl.report.figures import Figure, Table, drawable, effect_cells, effect_row
from pawl.report.filling import Labels, Tile, fill
from pawl.report.records import TrialPoint
from pawl.report.text import (
    ARROW,
    DASH,
    capital,
    clean,
    count,
    duration,
    interval_text,
    number,
    p_phrase,
    percent,
    places,
)
from pawl.report.verdicts import TechniqueRow
from pawl.report.words import Note

_MOST_LISTED = 300


def render(summary: FunctionSummary, trials: Sequence[TrialRecord]) -> str:
    """Returns the page as HTML text.

    Args:
        summary: The campaign's result.
        trials: Those of the search, in order.
    """
    compared = summary.delivered == "candidate"
    return fill(
        labels=Labels(
            arms="The baseline, and the best settings found",
            change="Setting",
            effect="Effect",
            equal_time=False,
            unmeasured="No setting's effect was measured within the budget.",
            recipe="The settings" if compared else "The settings: the baseline's",
        ),
        title=f"{clean(summary.name)}: {headline(summary).rstrip('.')}",
        name=clean(summary.name),
        facts=["a function", count(len(summary.baseline.settings), "setting")],
        verdict=headline(summary),
        seen=summary.proven,
        standfirst=clean(summary.statement),
        tiles=_tiles(summary),
        arms=_arms(summary),
        compared=compared,
        forest=_forest(summary),
        dash=DASH,
        techniques=[_row(change, summary) for change in summary.changes],
        stories=[],
        remarks=[],
        search=_search(summary, trials),
        history=_history(summary, trials),
        curves=[],
        cost=None,
        parts=[],
        protocol=_protocol(summary),
        recipe=clean(json.dumps(summary.final, indent=2)),
        command=clean(summary.command),
        setup=_setup(summary),
        notes=[],
        left_out="",
        pawl=clean(summary.versions.get("pawl", "")),
    )


def _tiles(summary: FunctionSummary) -> list[Tile]:
    arm, effect = summary.candidate, summary.confirmation
    if arm is None:
        return [Tile(name="Baseline", value=number(summary.baseline.mean, 4), detail="one run")]
    digits = places(arm.interval, arm.mean)
    both = [number(each.mean, digits) for each in (summary.baseline, arm)]
    tiles = [
        Tile(
            name=f"Baseline {ARROW} best found",
            value=f"{both[0]} {ARROW} {both[1]}",
            detail=f"{clean(summary.metric)}, mean of {count(arm.n, 'seed')}",
        )
    ]
    if effect is not None:
        digits = places(effect.interval, effect.value)
        span = interval_text(effect.interval, digits, signed=True)
        tiles = [
            Tile(
                name="Gain, fresh seeds",
                value=number(effect.value, digits, signed=True),
                detail=f"95% interval {span}, {count(effect.n, 'seed')}",
                accent=summary.proven,
            ),
            *tiles,
            Tile(
                name="Likely to be better",
                value=percent(summary.likelihood),
                detail=f"corrected {p_phrase(effect.p_value)}",
            ),
        ]
    return tiles


def _arms(summary: FunctionSummary) -> list[Figure]:
    named: list[tuple[str, SettingsArm | None, Tone]] = [
        ("Baseline", summary.baseline, "baseline"),
        ("Best found", summary.candidate, "kept" if summary.proven else "final"),
    ]
    metric = clean(summary.metric)
    rows, listed = [], []
    for name, arm, tone in named:
        if arm is None:
            continue
        digits = places(arm.interval, arm.mean)
        span = interval_text(arm.interval, digits) if arm.interval else DASH
        listed.append((name, number(arm.mean, digits), span, str(arm.n), str(arm.failed)))
        if arm.interval is not None and drawable(arm.mean, arm.interval):
            note = f"{number(arm.mean, digits)}  ({span})"
            rows.append(
                Row(label=name, value=arm.mean, interval=arm.interval, tone=tone, note=note)
            )
    if not rows:
        return []
    better = "higher" if summary.direction == "maximize" else "lower"
    return [
        Figure(
            title=f"{capital(metric)} over fresh seeds, {better} is better",
            caption="Mean over seeds with its 95% interval; arms are compared seed by seed.",
            drawing=charts.intervals(
                rows, axis=metric, zero=False,
                label=f"{metric}: " + "; ".join(f"{row.label} {row.note}" for row in rows),
            ),
            table=Table(heads=("Arm", "Mean", "95% interval", "Seeds", "Failed"), rows=listed),
        )
    ]  # fmt: skip


def _forest(summary: FunctionSummary) -> Figure | None:
    measured = [c for c in summary.changes if c.effect is not None]
    rows = [
        effect_row(clean(c.name), c.effect, c.verdict)
        for c in measured
        if c.effect is not None and drawable(c.effect.value, c.effect.interval)
    ]
    if not rows:
        return None
    metric = clean(summary.metric)
    tones = {row.tone for row in rows}
    return Figure(
        title=f"Effect on {metric} with 95% interval, right of zero is better",
        caption="The best settings against the same with the baseline's value of one.",
        drawing=charts.intervals(
            rows, axis=f"effect on {metric}", zero=True,
            label="Effects: " + "; ".join(f"{row.label} {row.note}" for row in rows),
        ),
        table=Table(
            heads=("Setting", "Verdict", "Effect", "95% interval", "p (Holm)", "Seeds"),
            rows=[
                (clean(c.name), c.verdict, *effect_cells(c.effect))
                for c in measured if c.effect is not None
            ],
        ),
        legend=[(tone, tone) for tone in ("kept", "unproven", "rejected") if tone in tones],
    )  # fmt: skip


def _row(change: ChangeSummary, summary: FunctionSummary) -> TechniqueRow:
    effect = change.effect
    cells = effect_cells(effect) if effect else ("not measured within the budget", "", DASH, "")
    reasons = {
        "kept": "the settings are worse with the baseline's value",
        "rejected": "the settings are better with the baseline's value",
        "unproven": "no difference shown",
    }
    return TechniqueRow(
        name=clean(change.name),
        stage="",
        verdict=change.verdict,
        standing="",
        change=f"{_shown(change.before)} {ARROW} {_shown(change.after)}",
        settings="",
        n=str(effect.n) if effect else DASH,
        effect=cells[0],
        interval=cells[1],
        p=cells[2],
        equal_time=DASH,
        equal_time_detail="",
        reason=capital(reasons[change.verdict]) + ".",
    )


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else clean(str(value))


def _search(summary: FunctionSummary, trials: Sequence[TrialRecord]) -> str:
    return (
        f"{count(len(trials), 'run')} of the search, on one seed; {count(summary.runs, 'run')} in all, "
        f"{summary.failed:,} of which failed."
    )


def _history(summary: FunctionSummary, trials: Sequence[TrialRecord]) -> Figure | None:
    ended, points = 0.0, []
    for place, trial in enumerate(trials):
        ended += trial.seconds
        points.append(
            TrialPoint(
                number=place, generation=0,
                status="completed" if trial.score is not None else "failed", score=trial.score,
                steps=0, recipe=", ".join(
                    f"{name} {_shown(value)}"
                    for name, value in trial.recipe["settings"].items()
                    if value != summary.baseline.settings[name]
                ),
                seconds=ended,
            )
        )  # fmt: skip
    found = series.search(points, summary.direction)
    if found is None:
        return None
    metric = clean(summary.metric)
    kinds = {row["kind"] for row in found.data}
    names = {"completed": "completed", "failed": "failed", "best": "best so far"}
    return Figure(
        title="Every run of the search",
        caption=f"{capital(metric)} on the search's seed; no claim rests on it.",
        drawing=charts.history(found, label=f"{metric} of {count(len(points), 'run')}"),
        table=Table(
            heads=("Run", "Status", capital(metric), "Against the baseline"),
            rows=[
                (str(p.number), p.status, number(p.score, 4), clean(p.recipe) or "the baseline")
                for p in points[:_MOST_LISTED]
            ],
        ),
        legend=[(f"trial-{kind}", name) for kind, name in names.items() if kind in kinds],
    )


def _protocol(summary: FunctionSummary) -> list[Note]:
    looks = ", ".join(map(str, summary.looks)) or "none"
    notes = [
        Note(
            title="The headline",
            text="The best settings of the search ran against the baseline on seeds that nothing was "
            f"chosen by, both arms on each, with looks after {looks} seeds; the looks share an error "
            f"rate of {summary.alpha:.0%}. A run that failed counts as the worst of all.",
        ),
        Note(
            title="The settings",
            text="Each change was taken back on its own, on the same seeds, if the whole was shown to "
            "be better; Holm's correction is over the changes.",
        ),
        Note(
            title="What it assumes",
            text="Seeds are independent draws of all that is random in the function, and mean "
            "differences are roughly normal; where all are the same number, no more than that either "
            "sign would be as likely without a difference. What is claimed is for other seeds, on the "
            "data that the function uses: rows that it was tuned on are not new ones.",
        ),
    ]
    return notes[2:] if summary.deterministic else notes


def _setup(summary: FunctionSummary) -> list[tuple[str, str]]:
    limit = "no time limit"
    if summary.budget_seconds is not None:
        limit = f"of a budget of {duration(summary.budget_seconds)}"
    pairs = [
        ("Metric", f"{clean(summary.metric)} ({summary.direction})"),
        ("Seed", str(summary.seed)),
        ("Time", f"{duration(summary.seconds)}, {limit}"),
        ("Hardware", ", ".join(f"{k} {v}" for k, v in summary.hardware.items())),
        ("Versions", ", ".join(f"{k} {v}" for k, v in summary.versions.items())),
    ]
    return [(name, clean(text)) for name, text in pairs]
