"""The chapter of what differs from another bundle."""

from __future__ import annotations

from pawl.explaining.chapters import Block, Chapter
from pawl.explaining.result import Against
from pawl.report import charts
from pawl.report.charts import Row, Tone
from pawl.report.figures import Figure, Table
from pawl.report.text import clean, count, interval_text, metric_name, number, p_text, places

_DRAWN = 15


def changes(found: Against) -> Chapter:
    """Returns the chapter."""
    metric = metric_name(found.metric)
    digits = places(found.score_interval, found.score_difference)
    gained = number(found.score_difference, digits, signed=True)
    span = interval_text(found.score_interval, digits, signed=True)
    moved = sum(each.moved for each in found.changes)
    lead = (
        f"On the same {count(found.rows, 'row')} {metric} is {number(found.score, 4)}, and of "
        f"{clean(found.name)} {number(found.other_score, 4)}: better by {gained} (95% interval {span}). "
        f"The {found.same_is} is {number(found.same, 3)}."
    )
    if found.changes:
        lead += (
            f" {count(moved, 'column is', 'columns are')} shown to matter more or less than there"
            f" (corrected for their number)."
        )
    lacking = [
        f"Columns that only {who} has: {clean(', '.join(names))}."
        for who, names in (("this one", found.only_here), ("the other", found.only_there))
        if names
    ]
    figures = [_figure(found, metric)] if found.changes else []
    note = " ".join(lacking)
    return Chapter(
        name="against",
        title="What differs from the other bundle",
        lead=lead,
        blocks=[Block(figures=figures, note=note)],
    )


def _figure(found: Against, metric: str) -> Figure:
    rows, listed = [], []
    for each in found.changes:
        digits = places(each.interval, each.difference)
        span = interval_text(each.interval, digits, signed=True)
        shown = number(each.difference, digits, signed=True)
        tone: Tone = "unproven"
        if each.moved:
            tone = "kept" if each.difference > 0 else "rejected"
        rows.append(
            Row(
                label=clean(each.name), value=each.difference, interval=each.interval, tone=tone,
                note=f"{shown}  ({span})",
            )
        )  # fmt: skip
        listed.append(
            (
                clean(each.name),
                number(each.value, digits, signed=True),
                number(each.other, digits, signed=True),
                f"{shown} ({span})",
                p_text(each.p_value),
                f"{each.rank} and {each.other_rank}",
            )
        )
    drawn = rows[:_DRAWN]
    title = f"How much more a column matters here than there, in {metric}"
    tones = {row.tone for row in drawn}
    names = {"kept": "more", "unproven": "not shown to differ", "rejected": "less"}
    return Figure(
        title=title,
        caption=f"The same {found.permutations} permutations for both; 95% intervals over rows and "
        "permutations, one by one"
        + (f"; the {len(drawn)} largest of {len(rows)}." if len(rows) > len(drawn) else "."),
        drawing=charts.intervals(
            drawn,
            label=f"{title}: " + "; ".join(f"{row.label} {row.note}" for row in drawn),
            axis=f"difference in {metric}",
            zero=True,
            clip=False,
        ),
        table=Table(
            heads=("Column", "Here", "There", "Difference (95% interval)", "p (Holm)", "Ranks"),
            rows=listed,
        ),
        legend=[(tone, name) for tone, name in names.items() if tone in tones],
    )
