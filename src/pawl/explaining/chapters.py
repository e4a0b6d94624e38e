"""The page's chapters: figures with their numbers, or what failed in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawl.explaining import overlays
from pawl.explaining.overlays import Shown
from pawl.explaining.result import (
    Attributions,
    Dependence,
    Explanation,
    FeatureImportance,
    Importance,
    RowAttribution,
    TreeImportance,
)
from pawl.explaining.value import Check
from pawl.report import charts, points
from pawl.report.charts import Row, Tone
from pawl.report.figures import Figure, Table
from pawl.report.points import Dot
from pawl.report.text import capital, clean, count, interval_text, metric_name, number, places

Thumbnails = Mapping[int, NDArray[np.uint8]]
_DRAWN, _ROWS, _COLUMNS, _IMAGES = 15, 6, 8, 8
_PLAIN = ("feature ablation", "LIME", "expected gradients")
"""Methods beside others that draw the same: their numbers are enough."""
_SHAPLEY = "Compared with {background}; {evaluations} evaluations of the model for a row."
_INTRO = {
    "exact Shapley values": _SHAPLEY,
    "sampled Shapley values": _SHAPLEY,
    "feature ablation": "What the prediction loses where one column alone is that of {background}; "
    "parts do not add up.",
    "LIME": "Slopes of a linear model near each row, by {evaluations} evaluations in which some columns "
    "are those of {background}; parts do not add up.",
    "integrated gradients": "From the mean row to the row, along a straight line; categories stay the "
    "row's.",
    "expected gradients": "The mean of integrated gradients from {background}; categories stay the "
    "row's.",
}


@dataclass(frozen=True, kw_only=True)
class Colored:
    """A text in colored words, each with a style of `explain.css` and what it says where pointed at."""

    title: str
    words: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a chapter; `failed` are checks that forbid its figures."""

    title: str = ""
    lead: str = ""
    failed: Sequence[str] = ()
    legend: Sequence[tuple[str, str]] = ()
    figures: Sequence[Figure] = ()
    pictures: Sequence[Shown] = ()
    texts: Sequence[Colored] = ()
    tables: Sequence[Table] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A section of the page."""

    name: str
    title: str
    lead: str = ""
    blocks: Sequence[Block] = ()


def failed(checks: Sequence[Check]) -> list[str]:
    """Returns what the checks that failed say."""
    return [check.text for check in checks if not check.passed]


def importance(found: Importance) -> Chapter:
    """Returns which columns matter, alone and in groups."""
    metric = metric_name(found.metric)
    wrong = failed(found.checks)
    title = f"How much worse {metric} gets where a column's values are those of other rows"
    blocks = [
        Block(
            failed=wrong,
            figures=[] if wrong else [_importances(found.features, title, metric)],
        )
    ]
    if found.groups:
        grouped = (
            f"Columns that say the same (rank correlation {found.threshold:g} or more), together"
        )
        blocks.append(
            Block(
                lead="Where columns can stand in for each other, each alone looks useless.",
                failed=wrong,
                figures=[] if wrong else [_importances(found.groups, grouped, metric)],
            )
        )
    return Chapter(
        name="importance",
        title="What matters",
        lead=f"{capital(metric)} is {number(found.score, 4)} on {count(found.rows, 'row')}. Each "
        f"column was permuted {found.permutations} times; the mean is drawn with its 95% "
        "interval over rows and permutations. Intervals are not corrected for their number.",
        blocks=blocks,
    )


def _importances(entries: Sequence[FeatureImportance], title: str, metric: str) -> Figure:
    rows, listed = [], []
    for entry in entries:
        digits = places(entry.interval, entry.value)
        span = interval_text(entry.interval, digits, signed=True)
        shown = number(entry.value, digits, signed=True)
        listed.append((clean(entry.name), shown, span))
        tone: Tone = "kept" if entry.interval[0] > 0 else "unproven"
        if entry.interval[1] < 0:
            tone = "rejected"
        row = Row(
            label=clean(entry.name), value=entry.value, interval=entry.interval, tone=tone,
            note=f"{shown}  ({span})",
        )  # fmt: skip
        rows.append(row)
    drawn = rows[:_DRAWN]
    more = len(rows) - len(drawn)
    tones = {row.tone for row in drawn}
    names = {"kept": "matters", "unproven": "may not matter", "rejected": "harms"}
    return Figure(
        title=title,
        caption=f"The {len(drawn)} most important of {len(rows)}." if more else "",
        drawing=charts.intervals(
            drawn,
            label=f"{title}: " + "; ".join(f"{row.label} {row.note}" for row in drawn),
            axis=f"worse in {metric}",
            zero=True,
            clip=False,
        ),
        table=Table(heads=("Column", "Worse by", "95% interval"), rows=listed),
        legend=[(tone, name) for tone, name in names.items() if tone in tones],
    )


def dependences(found: Sequence[Dependence], label: str) -> Chapter:
    """Returns how predictions depend on columns."""
    curves = [each for each in found if each.at]
    others = [each for each in found if not each.at]
    blocks = [
        Block(failed=[f"{_named(each)}: {text}" for each in found for text in failed(each.checks)])
    ]
    fine = [each for each in curves if not failed(each.checks)]
    if fine:
        blocks.append(Block(figures=[_curve(each, label) for each in fine]))
    fine = [each for each in others if not failed(each.checks)]
    if fine:
        blocks.append(Block(figures=[_categories(each, label) for each in fine]))
    rows = max(each.rows for each in found)
    return Chapter(
        name="dependence",
        title="How predictions depend on it",
        lead=f"The mean prediction of {count(rows, 'row')} where a column has one value for all, "
        "the other columns as they are; the band is its 95% interval over rows. Faint lines are "
        "single rows: where they cross, the column works together with others.",
        blocks=blocks,
    )


def _named(each: Dependence) -> str:
    return f"{clean(each.output)} by {clean(each.feature)}"


def _curve(each: Dependence, label: str) -> Figure:
    dots = [
        Dot(at=at, value=mean, interval=interval)
        for at, mean, interval in zip(each.at, each.mean, each.interval, strict=True)
    ]
    title = f"{_named(each)}"
    return Figure(
        title=title,
        caption=capital(clean(label)),
        drawing=points.curve(
            dots, each.single, axis=each.feature, dates=each.kind == "date",
            label=f"{title}: from {number(each.mean[0])} at {each.grid[0]} to "
            f"{number(each.mean[-1])} at {each.grid[-1]}",
        ),
        table=_dependence_table(each),
        half=True,
    )  # fmt: skip


def _categories(each: Dependence, label: str) -> Figure:
    rows = []
    for value, mean, interval in zip(each.grid, each.mean, each.interval, strict=True):
        digits = places(interval, mean)
        note = f"{number(mean, digits)}  ({interval_text(interval, digits)})"
        rows.append(Row(label=clean(value), value=mean, interval=interval, tone="kept", note=note))
    title = _named(each)
    return Figure(
        title=title,
        caption=f"{capital(clean(label))}, by the commonest categories first.",
        drawing=charts.intervals(
            rows, axis=clean(label), zero=False,
            label=f"{title}: " + "; ".join(f"{row.label} {row.note}" for row in rows),
        ),
        table=_dependence_table(each),
    )  # fmt: skip


def _dependence_table(each: Dependence) -> Table:
    rows = []
    for value, mean, interval in zip(each.grid, each.mean, each.interval, strict=True):
        digits = places(interval, mean)
        rows.append((clean(value), number(mean, digits), interval_text(interval, digits)))
    return Table(heads=(clean(each.feature), "Mean prediction", "95% interval"), rows=rows)


def attributions(found: Attributions, label: str) -> Block:
    """Returns what columns add to single rows' predictions; plainer methods have a table alone."""
    wrong = failed(found.checks)
    drawn = 0 if found.method in _PLAIN else _ROWS
    intro = _INTRO[found.method].format(
        background=count(found.background, "background row"), evaluations=f"{found.evaluations:,}"
    )
    figures = [] if wrong else [_row(each, found.features, label) for each in found.rows[:drawn]]
    listed = len(found.rows) > drawn and not wrong
    return Block(
        title=found.method if found.method.isupper() else capital(found.method),
        lead=intro,
        failed=wrong,
        legend=[("kept", "raises the prediction"), ("rejected", "lowers it")] if figures else [],
        figures=figures,
        tables=[_attribution_table(found, drawn)] if listed else [],
    )


def trees(found: Sequence[TreeImportance]) -> Chapter:
    """Returns what trees look at."""
    blocks = []
    for each in found:
        wrong = failed(each.checks)
        rows = [
            (clean(c.name), f"{c.splits:,}", f"{100 * c.gain:.1f}%", number(c.shapley))
            for c in each.columns
        ]
        heads = ("Column", "Splits", "Share of gain", "Mean size of its Shapley value")
        blocks.append(
            Block(
                title=f"{count(each.trees, 'tree')}, {100 * each.share:.0f}% of the prediction",
                lead=f"In {each.units}; {each.leaves:,} leaves. Shapley values are exact, over "
                f"{count(each.rows, 'row')} against {each.background} others.",
                failed=wrong,
                tables=[] if wrong else [Table(heads=heads, rows=rows)],
                note="Splits and gain favor columns with many values; gain is measured on these rows.",
            )
        )
    return Chapter(
        name="trees",
        title="What its trees look at",
        lead="Of the trees alone, whatever else is in the model: permutation importance above, and "
        "Shapley values of single rows, are of the whole.",
        blocks=blocks,
    )


def _row(each: RowAttribution, features: Sequence[str], label: str) -> Figure:
    order = np.argsort(-np.abs(each.values), kind="stable")
    rows, listed = [], []
    for place in order:
        value, error = each.values[place], each.errors[place]
        interval = (value - 1.96 * error, value + 1.96 * error)
        digits = places(interval, value)
        shown = number(value, digits, signed=True)
        tone: Tone = "kept" if value > 0 else "rejected" if value < 0 else "unproven"
        name = f"{clean(features[place])} = {clean(each.shown[place])}"
        listed.append(
            (clean(features[place]), clean(each.shown[place]), shown, number(error, digits))
        )
        rows.append(Row(label=name, value=value, interval=interval, tone=tone, note=shown))
    drawn = rows[:_COLUMNS]
    digits = places(None, each.base)
    rest = float(sum(each.values[place] for place in order[_COLUMNS:]))
    more = (
        f" {len(rows) - len(drawn)} more columns add {number(rest, signed=True)}."
        if len(rows) > 8
        else ""
    )
    title = f"Row {each.row + 1}: {clean(each.output)} {number(each.prediction, digits)}"
    return Figure(
        title=title,
        caption=f"The mean is {number(each.base, digits)}; the columns add what is between.{more}",
        drawing=charts.intervals(
            drawn, axis=f"part of the {clean(label)}", zero=True, clip=False,
            label=f"{title}: " + "; ".join(f"{row.label} {row.note}" for row in drawn),
        ),
        table=Table(heads=("Column", "Value", "Part", "Standard error"), rows=listed),
    )  # fmt: skip


def _attribution_table(found: Attributions, drawn: int) -> Table:
    rows = []
    for each in found.rows[drawn:]:
        order = np.argsort(-np.abs(each.values), kind="stable")[:3]
        parts = [
            f"{clean(found.features[at])} = {clean(each.shown[at])}: "
            f"{number(each.values[at], signed=True)}"
            for at in order
        ]
        rows.append(
            (str(each.row + 1), clean(each.output), number(each.prediction), "; ".join(parts))
        )
    return Table(heads=("Row", "Output", "Prediction", "The three largest parts"), rows=rows)


def maps(found: Explanation, thumbnails: Thumbnails) -> Chapter:
    """Returns where images speak for their predictions."""
    blocks = []
    if found.pictures:
        first = found.pictures[0].pictures[:_IMAGES]
        blocks.append(
            Block(
                title="The images",
                pictures=[
                    Shown(
                        source=overlays.plain(thumbnails[each.row]),
                        alt=f"image {each.row + 1}",
                        caption=_under(each.row, each.file)
                        + f": {clean(each.output)}, {number(each.prediction, 3)}",
                    )
                    for each in first
                    if each.row in thumbnails
                ],
            )
        )
    for method in found.pictures:
        wrong = failed(method.checks)
        shown = [
            Shown(
                source=overlays.overlaid(thumbnails[each.row], np.array(each.map)),
                alt=f"{method.method} of image {each.row + 1}",
                caption=f"{_under(each.row, '')}: {clean(each.output)}",
            )
            for each in method.pictures[:_IMAGES]
            if each.row in thumbnails and not wrong
        ]
        blocks.append(
            Block(title=capital(method.method), lead=method.detail, failed=wrong, pictures=shown)
        )
    return Chapter(
        name="pictures",
        title="Where images speak for it",
        lead="Orange places speak for the class that is predicted, blue ones against it; each map "
        "has its own scale.",
        blocks=blocks,
    )


def _under(row: int, file: str) -> str:
    return clean(file) if file else f"Image {row + 1}"
