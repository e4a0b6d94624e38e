"""The chapter of when a model can be trusted: calibration, sets, robustness, weak slices, errors."""

from __future__ import annotations

from collections.abc import Sequence

from pawl.explaining import overlays
from pawl.explaining.chapters import Block, Chapter, Colored, Thumbnails
from pawl.explaining.judged import Calibration, Errors, Robustness, Sets, Slices, WorstRow
from pawl.explaining.overlays import Shown
from pawl.explaining.result import Explanation
from pawl.explaining.sets import as_promised
from pawl.kinds import KINDS
from pawl.report import points
from pawl.report.figures import Figure, Table
from pawl.report.points import Dot
from pawl.report.text import (
    DASH,
    capital,
    clean,
    count,
    interval_text,
    metric_name,
    number,
    p_text,
    places,
)


def trust(found: Explanation, thumbnails: Thumbnails) -> Chapter:
    """Returns the chapter."""
    blocks, classes = [], KINDS[found.kind].has_classes
    if found.calibration is not None:
        blocks.append(_calibration(found.calibration, classes))
    if found.sets is not None:
        blocks.append(_sets(found.sets))
    if found.robustness:
        blocks.append(_robustness(found.robustness))
    if found.slices is not None:
        blocks.append(_slices(found.slices))
    if found.errors is not None:
        blocks += _errors(found.errors, thumbnails, classes)
    return Chapter(name="trust", title="When it can be trusted", blocks=blocks)


def calibrated(found: Calibration) -> bool:
    """Tells whether the error is no larger than chance makes it for a calibrated model."""
    return found.error <= found.by_chance[1]


def _calibration(found: Calibration, classes: bool) -> Block:
    digits = places(found.interval, found.error)
    error, mean, most = (number(v, digits) for v in (found.error, *found.by_chance))
    name = "Expected calibration error" if classes else "Mean distance"
    verdict = (
        "No more than chance would make" if calibrated(found) else "More than chance would make"
    )
    what = clean(found.what)
    title = f"{what} against {'how often it is true' if classes else 'the mean of what is true'}"
    dots = [Dot(at=b.predicted, value=b.actual, interval=b.interval) for b in found.bins]
    told = []
    for each in found.bins:
        own = places(each.interval, each.actual)
        span = interval_text(each.interval, own)
        told.append((number(each.predicted, own), number(each.actual, own), span, f"{each.rows:,}"))
    return Block(
        title="Calibration",
        lead=f"{name} {error} (95% interval {interval_text(found.interval, digits)}). {verdict}: a "
        f"perfectly calibrated model has {mean} on average on as many rows, and at most {most} in "
        "19 of 20 cases.",
        figures=[
            Figure(
                title=title,
                caption=f"{len(found.bins)} bins of equally many rows, with 95% intervals; on the "
                "dashed line predictions mean what they say.",
                drawing=points.against(
                    dots, axis=what, domain=(0.0, 1.0) if classes else None,
                    label=f"{title}: {name} {error}",
                ),
                table=Table(heads=("Predicted", "True", "95% interval", "Rows"), rows=told),
                half=True,
            )
        ],
    )  # fmt: skip


def _slices(found: Slices) -> Block:
    weak = [each for each in found.slices if each.weak]
    lead = (
        f"{found.looked:,} slices by one or two columns were looked at on one half of the rows; "
        f"the {found.tested} with most excess error were tested on the other "
        f"{count(found.rows, 'row')}, corrected for their number (Holm). "
    )
    lead += f"{count(len(weak), 'is', 'are')} weak." if weak else "None is shown to be weak."
    listed = []
    for each in found.slices:
        digits = places(each.interval, each.difference)
        span = interval_text(each.interval, digits, signed=True)
        own = [number(value, digits) for value in (each.error, each.other)]
        shown = f"{number(each.difference, digits, signed=True)} ({span})"
        text = clean(each.text)
        verdict = "weak" if each.weak else DASH
        listed.append((text, f"{each.rows:,}", *own, shown, p_text(each.p_value), verdict))
    inside = capital(found.error)
    heads = ("Slice", "Rows", f"{inside} inside", "Outside", "Difference", "p (Holm)", "Verdict")
    return Block(
        title="Weak slices", lead=lead, tables=[Table(heads=heads, rows=listed)] if listed else []
    )


def _errors(found: Errors, thumbnails: Thumbnails, classes: bool) -> list[Block]:
    blocks = []
    if found.classes:
        shares = [
            (
                clean(each.name),
                f"{each.rows:,}",
                *(DASH if v is None else f"{100 * v:.1f}%" for v in (each.recall, each.precision)),
                clean(each.taken_for) or DASH,
            )
            for each in found.classes
        ]
        heads = ("Class", "Rows", "Found", "Right where predicted", "Most taken for")
        blocks.append(Block(title="Errors by class", tables=[Table(heads=heads, rows=shares)]))
    if found.worst:
        blocks.append(_rows_of("The worst rows", found.worst, found, thumbnails, classes))
    if len(found.by_class) > 1 or not found.worst:
        for each in found.by_class:
            title = f"The worst rows of {clean(each.name)}"
            blocks.append(_rows_of(title, each.worst, found, thumbnails, classes))
    return blocks


def _rows_of(
    title: str, rows: Sequence[WorstRow], found: Errors, thumbnails: Thumbnails, classes: bool
) -> Block:
    """Returns rows as pictures, as texts, or as a table of their values."""
    told = any(each.shown for each in rows)
    listed = [
        (
            clean(w.file) or f"row {w.row + 1}",
            clean(w.actual),
            clean(w.predicted),
            number(w.error),
            *([clean(", ".join(w.shown))] if told else []),
        )
        for w in rows
    ]
    kind = "How bad" if classes else capital(found.error)
    columns = ("Row", "True", "Predicted", kind, *(["Its values"] if told else []))
    pictures = [
        Shown(
            source=overlays.plain(thumbnails[each.row]),
            alt=f"image {each.row + 1}",
            caption=f"{clean(each.actual)}, predicted {clean(each.predicted)}",
        )
        for each in rows
        if each.row in thumbnails
    ]
    texts = [
        Colored(
            title=f"Row {each.row + 1}: {clean(each.actual)}, predicted {clean(each.predicted)}",
            words=[(clean(text), "", "") for text in each.texts],
        )
        for each in rows
        if each.texts
    ]
    note = (
        "How bad is the negative logarithm of the probability of what is true (of labels the mean)."
        if classes
        else ""
    )
    return Block(
        title=title,
        pictures=pictures,
        texts=texts,
        tables=[Table(heads=columns, rows=listed)],
        note=note,
    )


def _sets(found: Sets) -> Block:
    share = 100 * found.coverage
    low, high = (f"{100 * end:.1f}%" for end in found.interval)
    verdict = "as many as promised" if as_promised(found) else "fewer than promised"
    lead = (
        f"Made by {found.source} ({count(found.made_by, 'row')}) to hold the truth of {share:g}% of "
        f"new rows. Of {count(found.rows, 'other row')} they hold {100 * found.held:.1f}% (95% interval "
        f"{low} to {high}): {verdict}."
    )
    tables = []
    if found.sizes:
        rows = [
            (str(size), f"{number:,}", f"{100 * number / found.rows:.1f}%")
            for size, number in enumerate(found.sizes)
            if number
        ]
        tables.append(Table(heads=("Classes in a set", "Rows", "Share"), rows=rows))
        by_class = [
            (
                clean(each.name),
                f"{each.rows:,}",
                f"{100 * each.held:.1f}%",
                f"{100 * each.interval[0]:.1f}% to {100 * each.interval[1]:.1f}%",
                number(each.size, 2),
            )
            for each in found.classes
        ]
        heads = ("Class", "Rows", "Held", "95% interval", "Mean size")
        tables.append(Table(heads=heads, rows=by_class))
    else:
        lead += " " + " ".join(
            f"An interval is {number(width)} wide; the target's deviation is {number(spread)}."
            for width, spread in zip(found.widths, found.spread, strict=True)
        )
    return Block(
        title="Sets that hold the truth" if found.sizes else "Intervals", lead=lead, tables=tables
    )


def _robustness(found: Sequence[Robustness]) -> Block:
    figures: list[Figure] = []
    for each in found:
        metric = metric_name(each.metric)
        missing = each.what == "missing"
        axis = f"{'share of' if missing else 'noise in deviations of'} {each.cells}"
        title = f"{capital(metric)} against {'missing cells' if missing else 'noise'}"
        dots = [Dot(at=p.level, value=p.value, interval=p.interval) for p in each.points]
        told = []
        for p in each.points:
            digits = places(p.lost_interval, p.lost)
            span = interval_text(p.lost_interval, digits, signed=True)
            lost = DASH if p.level == 0 else f"{number(p.lost, digits, signed=True)} ({span})"
            own = places(p.interval, p.value)
            shown = f"{number(p.value, own)} ({interval_text(p.interval, own)})"
            told.append((f"{p.level:g}", shown, lost))
        heads = (capital(axis), f"{capital(metric)} (95% interval)", "Lost")
        figures.append(
            Figure(
                title=title,
                caption=f"{capital(axis)}; the mean of {each.draws} draws on {count(each.rows, 'row')}, "
                "with the band of 95% intervals over rows.",
                drawing=points.curve(
                    dots, [], axis=axis,
                    label=f"{title}: {number(dots[0].value)} as they are, "
                    f"{number(dots[-1].value)} at {each.points[-1].level:g}",
                ),
                table=Table(heads=heads, rows=told),
                half=True,
            )
        )  # fmt: skip
    return Block(
        title="Missing values and noise",
        lead="Cells become missing at random, one without the other, and numbers get normal noise; what "
        "is lost is against the same rows as they are.",
        figures=figures,
    )
