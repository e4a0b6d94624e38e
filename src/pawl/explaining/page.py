"""`explain.html`: one page, offline, without scripts, made as the report is.

Every text goes through the template's escaping; images are PNGs that are made here.
"""

from __future__ import annotations

from pawl.explaining import changes, chapters, trust, words
from pawl.explaining.chapters import Chapter, Thumbnails
from pawl.explaining.result import Explanation
from pawl.explaining.value import Check
from pawl.kinds import KINDS
from pawl.report.filling import Tile, fill
from pawl.report.text import capital, clean, count, interval_text, metric_name, number, places
from pawl.report.words import Note


def render(found: Explanation, thumbnails: Thumbnails) -> str:
    """Returns the page as HTML text.

    Args:
        found: What was found.
        thumbnails: Images that rows are, by row.
    """
    checks = _checks(found)
    passed = sum(check.passed for _, check in checks)
    return fill(
        page="explain.html.j2",
        style="explain.css",
        title=f"{clean(found.name)}: {headline(found).rstrip('.')}",
        name=clean(found.name),
        facts=[KINDS[found.kind].phrase, count(found.rows, "row"), f"target {clean(found.target)}"],
        headline=headline(found),
        standfirst=_standfirst(found, passed, len(checks)),
        tiles=_tiles(found),
        chapters=_chapters(found, thumbnails),
        checks_lead=f"{passed} of {count(len(checks), 'check')} passed. An explanation that fails "
        "one is not drawn; its numbers are in explain.json."
        if checks
        else "Nothing was explained that could be checked.",
        checks=checks,
        protocol=_protocol(found),
        command=clean(found.command),
        setup=_setup(found),
        skipped=[(capital(name), clean(reason)) for name, reason in found.skipped.items()],
        notes=[clean(note) for note in found.notes],
        pawl=clean(found.versions.get("pawl", "")),
    )


def headline(found: Explanation) -> str:
    """Returns what matters most, in a line."""
    if found.importance is not None:
        grouped = {name for group in found.importance.groups for name in group.features}
        alone = [each for each in found.importance.features if each.name not in grouped]
        ranked = sorted([*alone, *found.importance.groups], key=lambda each: -each.value)
        sure = [each for each in ranked if each.interval[0] > 0]
        if not sure:
            return "No column is shown to matter."
        names = [clean(each.name) for each in sure[:3]]
        listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        return f"{listed} matter{'s' if len(names) == 1 else ''} most."
    if found.errors is not None and found.errors.classes:
        return f"{_share(found.errors.mean)} of these rows are predicted wrongly."
    if found.pictures:
        return "Where images speak for their predictions."
    if found.attributions:
        return "What columns add to predictions."
    return "What is known of the model's errors."


def _share(value: float) -> str:
    return f"{100 * value:.2g}%" if 0 < value < 0.01 else f"{100 * value:.1f}%"


def _standfirst(found: Explanation, passed: int, checked: int) -> str:
    parts = []
    if found.importance is not None:
        shown = [each for each in found.importance.features if each.interval[0] > 0]
        parts.append(
            f"Of {count(len(found.importance.features), 'column')} {len(shown)} "
            f"{'is' if len(shown) == 1 else 'are'} shown to matter on these rows."
        )
    if found.slices is not None:
        weak = sum(each.weak for each in found.slices.slices)
        parts.append(
            f"The model is shown to be worse on {count(weak, 'kind')} of rows."
            if weak
            else "No kind of rows is shown to be worse than the others."
        )
    if checked:
        parts.append(f"{passed} of {count(checked, 'check')} of these explanations passed.")
    return " ".join(parts) or "These rows have no targets, so nothing is said of errors."


def _tiles(found: Explanation) -> list[Tile]:
    tiles = []
    if found.importance is not None:
        part = found.importance
        score = number(part.score, 4)
        name = capital(metric_name(part.metric))
        tiles.append(Tile(name=name, value=score, detail=f"on {count(part.rows, 'row')}"))
        if part.features:
            first = part.features[0]
            digits = places(first.interval, first.value)
            span = interval_text(first.interval, digits, signed=True)
            tiles.append(
                Tile(
                    name=f"Worse without {clean(first.name)}",
                    value=number(first.value, digits, signed=True),
                    detail=f"95% interval {span}",
                    accent=first.interval[0] > 0,
                )
            )
    elif found.errors is not None:
        own = found.errors
        shown = _share(own.mean) if own.error.startswith("share") else number(own.mean)
        tiles.append(Tile(name=capital(own.error), value=shown, detail=count(found.rows, "row")))
    if found.calibration is not None:
        cal = found.calibration
        digits = places(cal.interval, cal.error)
        tiles.append(
            Tile(
                name="Calibration error",
                value=number(cal.error, digits),
                detail="no more than chance makes"
                if trust.calibrated(cal)
                else f"95% interval {interval_text(cal.interval, digits)}",
            )
        )
    if found.slices is not None:
        weak = sum(each.weak for each in found.slices.slices)
        tiles.append(
            Tile(name="Weak slices", value=str(weak), detail=f"of {found.slices.tested} tested")
        )
    return tiles


def _chapters(found: Explanation, thumbnails: Thumbnails) -> list[Chapter]:
    label = "probability" if KINDS[found.kind].has_classes else clean(found.target)
    made = []
    if found.importance is not None:
        made.append(chapters.importance(found.importance))
    if found.dependences:
        made.append(chapters.dependences(found.dependences, label))
    if found.attributions:
        made.append(
            Chapter(
                name="rows",
                title="Single rows",
                lead="What each column adds to a row's prediction, against the mean over rows; "
                "with 95% intervals of what is estimated.",
                blocks=[chapters.attributions(each, label) for each in found.attributions],
            )
        )
    if found.trees:
        made.append(chapters.trees(found.trees))
    if found.pictures:
        made.append(chapters.maps(found, thumbnails))
    if found.texts is not None:
        made.append(words.words(found.texts, found.attention))
    if found.calibration or found.sets or found.robustness or found.slices or found.errors:
        made.append(trust.trust(found, thumbnails))
    if found.against is not None:
        made.append(changes.changes(found.against))
    return made


def _checks(found: Explanation) -> list[tuple[str, Check]]:
    """Returns all checks with what they are of."""
    checks = []
    if found.importance is not None:
        checks += [("importance", check) for check in found.importance.checks]
    for each in found.dependences:
        name = f"{clean(each.output)} by {clean(each.feature)}"
        checks += [(name, check) for check in each.checks]
    for rows in found.attributions:
        checks += [(rows.method, check) for check in rows.checks]
    for each_kind in found.trees:
        checks += [("trees", check) for check in each_kind.checks]
    for maps in found.pictures:
        checks += [(maps.method, check) for check in maps.checks]
    if found.texts is not None:
        checks += [("words", check) for check in found.texts.checks]
    if found.attention is not None:
        checks += [("attention", check) for check in found.attention.checks]
    return checks


def _protocol(found: Explanation) -> list[Note]:
    notes = [
        Note(
            title="Of which rows",
            text="All numbers are of the rows that were given. Where the model was trained on "
            "them, importances, calibration and errors look better than they are: give rows it has "
            "not seen.",
        ),
        Note(
            title="Not causes",
            text="What is explained is the model, not the world: that a prediction depends on a "
            "column does not say that changing it would change what is predicted.",
        ),
    ]
    if found.importance is not None or found.attributions:
        notes.append(
            Note(
                title="Rows that do not occur",
                text="Columns are replaced one without the other. Where they are correlated, the "
                "model is asked about rows that never occur, and what it says there counts along.",
            )
        )
    if found.attributions:
        notes.append(
            Note(
                title="Parts of a prediction",
                text="Shapley values: what a column adds to the prediction where its value becomes "
                "known, the mean over all orders in which columns become known (sampled in pairs, "
                "an order and its reverse), the unknown ones being those of background rows.",
            )
        )
    notes.append(
        Note(
            title="Checks",
            text="Completeness: parts sum to what they explain. Stability: an independent estimate "
            "agrees. Weights: a model with shuffled weights is explained otherwise. Deletion: what "
            "is said to matter most changes the prediction most. Fit: a linear model near a row says "
            "what the model says there.",
        )
    )
    return notes


def _setup(found: Explanation) -> list[tuple[str, str]]:
    seconds = "as long as it took" if found.seconds is None else f"{found.seconds:g} s were given"
    named = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    pairs = [("Rows", f"{found.rows:,}"), ("Seed", str(found.seed)), ("Time", seconds)]
    return [*pairs, ("Versions", clean(named))]
