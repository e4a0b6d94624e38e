"""The techniques: a forest plot of what was measured, and a table of every verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pawl.report import charts
from pawl.report.charts import Row, Tone
from pawl.report.figures import Figure, Table, drawable, effect_cells, effect_row
from pawl.report.summary import Effect, Summary, TechniqueSummary
from pawl.report.text import (
    DASH,
    TIMES,
    clean,
    finite,
    humanize,
    interval_text,
    metric_name,
    number,
    p_phrase,
    places,
    settings_text,
)

_ORDER = {"kept": 0, "unproven": 1, "rejected": 2}


@dataclass(frozen=True, kw_only=True)
class TechniqueRow:
    """A line of the techniques' table."""

    name: str
    stage: str
    verdict: Tone
    standing: str
    change: str
    settings: str
    n: str
    effect: str
    interval: str
    p: str
    equal_time: str
    equal_time_detail: str
    reason: str


def _in_order(techniques: Iterable[TechniqueSummary]) -> list[TechniqueSummary]:
    """Returns techniques by verdict, then by effect, those without a measured one last."""
    return sorted(
        techniques, key=lambda t: (_ORDER[t.verdict], t.effect is None, -(t.effect or 0.0), t.name)
    )


def forest(summary: Summary) -> Figure | None:
    """Returns the techniques' effects with their intervals; `None` where none was measured."""
    rows: list[Row] = []
    listed: list[tuple[str, ...]] = []
    for technique in _in_order(summary.techniques):
        effect = _effect_of(technique)
        if effect is None:
            continue
        group = bool(rows) and rows[-1].tone != technique.verdict
        rows.append(effect_row(_label(technique), effect, technique.verdict, new_group=group))
        listed.append((_label(technique), technique.verdict, *effect_cells(effect)))
    if not rows:
        return None
    metric = metric_name(summary.metric)
    label = f"Effect on {metric} of each technique, positive is better: " + "; ".join(
        f"{row.label}, {row.tone}, {row.note}" for row in rows
    )
    words = {"kept": "kept", "unproven": "unproven", "rejected": "rejected"}
    heads = ("Technique", "Verdict", "Effect", "95% interval", "p (Holm)", "Pairs")
    return Figure(
        title=f"Effect on {metric} with 95% interval, right of zero is better",
        caption="The recipe with the technique against the recipe without it, at equal steps.",
        drawing=charts.intervals(rows, label=label, axis=f"effect on {metric}", zero=True),
        table=Table(heads=heads, rows=listed),
        legend=[(tone, word) for tone, word in words.items() if any(r.tone == tone for r in rows)],
    )


def rows(summary: Summary) -> list[TechniqueRow]:
    """Returns the techniques' table, measured or not."""
    listed = []
    for technique in _in_order(summary.techniques):
        effect = _effect_of(technique)
        at_time = technique.equal_time
        digits = places(at_time.interval, at_time.value) if at_time else 0
        detail = []
        if at_time:
            span = interval_text(at_time.interval, digits, signed=True)
            detail += [f"{span}, {p_phrase(at_time.p_value)}"]
        if finite(technique.cost_ratio):
            detail += [f"cost {TIMES}{number(technique.cost_ratio, 2)}"]
        cells = effect_cells(effect) if effect else ("not measured within the budget", "", DASH, "")
        standing = ""
        if technique.verdict == "unproven":
            standing = "in the final recipe" if technique.in_final else "left out"
        elif technique.verdict == "kept" and not technique.in_final:
            standing = "not in the final recipe"
        instead = humanize(technique.instead_of) if technique.instead_of else ""
        listed.append(
            TechniqueRow(
                name=humanize(technique.name),
                stage=humanize(technique.stage),
                verdict=technique.verdict,
                standing=standing,
                change=technique.change + (f" for {instead}" if instead else ""),
                settings=settings_text(technique.settings),
                n=str(technique.n) if effect else DASH,
                effect=cells[0],
                interval=cells[1],
                p=cells[2],
                equal_time=number(at_time.value, digits, signed=True) if at_time else DASH,
                equal_time_detail="; ".join(detail),
                reason=clean(technique.reason),
            )
        )
    return listed


def _label(technique: TechniqueSummary) -> str:
    name = humanize(technique.name)
    return f"without {name}" if technique.change == "removed" else name


def _effect_of(technique: TechniqueSummary) -> Effect | None:
    if technique.effect is None or technique.interval is None:
        return None
    if not drawable(technique.effect, technique.interval):
        return None
    p = technique.p_value
    # A missing p-value shows as a dash.
    return Effect(
        value=technique.effect,
        interval=technique.interval,
        p_value=float("nan") if p is None else p,
        n=technique.n,
    )
