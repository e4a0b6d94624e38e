"""The chapter of when a model can be trusted: calibration, weak slices, errors."""

from __future__ import annotations

from pawl.explaining import overlays
from pawl.explaining.chapters import Block, Chapter, Thumbnails
from pawl.explaining.overlays import Shown
from pawl.explaining.result import Calibration, Errors, Explanation, Slices
from pawl.kinds import KINDS
from pawl.report import points
from pawl.report.figures import Figure, Table
from pawl.report.points import Dot
from pawl.report.text import DASH, capital, clean, count, interval_text, number, p_text, places


def trust(found: Explanation, thumbnails: Thumbnails) -> Chapter:
    """Returns the chapter."""
    blocks, classes = [], KINDS[found.kind].has_classes
    if found.calibration is not None:
        blocks.append(_calibration(found.calibration, classes))
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
        told = any(each.shown for each in found.worst)
        listed = [
            (
                clean(w.file) or f"row {w.row + 1}",
                clean(w.actual),
                clean(w.predicted),
                number(w.error),
                *([clean(", ".join(w.shown))] if told else []),
            )
            for w in found.worst
        ]
        kind = "How bad" if classes else capital(found.error)
        columns = ("Row", "True", "Predicted", kind, *(["Its values"] if told else []))
        pictures = [
            Shown(
                source=overlays.plain(thumbnails[each.row]),
                alt=f"image {each.row + 1}",
                caption=f"{clean(each.actual)}, predicted {clean(each.predicted)}",
            )
            for each in found.worst
            if each.row in thumbnails
        ]
        note = (
            "How bad is the negative logarithm of the probability of what is true (of labels the mean)."
            if classes
            else ""
        )
        blocks.append(
            Block(
                title="The worst rows",
                pictures=pictures,
                tables=[Table(heads=columns, rows=listed)],
                note=note,
            )
        )
    return blocks
