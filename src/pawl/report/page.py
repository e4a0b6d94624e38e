"""`report.html`: the one page that a campaign leaves.

A single file without scripts and without anything to load, so it can be mailed, archived and opened
from any disk. Every text goes through Jinja's autoescape; only the charts, which are rebuilt from
parsed XML, and the style sheet are put in as they are. A content security policy holds the browser
to that.
"""

from __future__ import annotations

from pawl.report import outcome, parts, sections, story, verdicts, words
from pawl.report.filling import Labels, Tile, fill
from pawl.report.records import Report
from pawl.report.summary import Summary
from pawl.report.text import (
    ARROW,
    DASH,
    clean,
    count,
    duration,
    humanize,
    interval_text,
    metric_name,
    number,
    p_phrase,
    p_text,
    places,
    ratio,
)

_MOST_NAMED = 10


def render(report: Report) -> str:
    """Returns the page as HTML text.

    The same report gives the same page, byte for byte.

    Args:
        report: The campaign's result. Trials, curves, techniques and findings may be empty, and
            values that are missing or not finite show as dashes.
    """
    summary = report.summary
    compared = summary.delivered == "candidate"
    return fill(
        labels=Labels(
            arms="Baseline against final"
            if compared
            else "The baseline, and the best recipe found",
            recipe="The final recipe" if compared else "The recipe in the bundle: the baseline",
        ),
        title=f"{clean(summary.task.name)}: {outcome.headline(summary).rstrip('.')}",
        name=clean(summary.task.name),
        facts=_facts(summary),
        verdict=outcome.headline(summary),
        seen=outcome.seen(summary),
        standfirst=words.standfirst(summary),
        tiles=tiles(summary),
        arms=sections.arms(summary),
        compared=compared,
        forest=verdicts.forest(summary),
        dash=DASH,
        techniques=verdicts.rows(summary),
        stories=story.stories(summary),
        remarks=story.remarks(summary),
        search=_search_sentence(report),
        history=sections.history(report),
        curves=sections.curves(report),
        cost=sections.cost(summary),
        parts=parts.sections(summary),
        protocol=words.protocol(summary),
        recipe=clean(report.recipe_toml).strip(),
        command=clean(summary.command),
        setup=_setup(summary),
        notes=[clean(note) for note in summary.task.notes],
        left_out=_left_out(summary),
        pawl=clean(summary.versions.get("pawl", "")),
    )


def _facts(summary: Summary) -> list[str]:
    from pawl.kinds import KINDS  # noqa: PLC0415 - it imports torch

    task = summary.task
    kind = KINDS[task.kind].phrase
    if task.kind == "multiclass":
        kind += f" into {len(task.classes)} classes"
    facts = [kind, count(task.rows, "row")]
    if task.inputs:
        facts.append(count(len(task.inputs), "input"))
    return [*facts, clean(task.model)]


def _left_out(summary: Summary) -> str:
    names = [clean(repr(name)) for name in summary.task.left_out]
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def tiles(summary: Summary) -> list[Tile]:
    """Returns the headline numbers."""
    latency = summary.cost.latency_ms
    if summary.delivered == "baseline":
        mean = number(summary.baseline.mean, places(summary.baseline.interval))
        first = Tile(
            name=f"Baseline {metric_name(summary.metric)}",
            value=mean,
            detail=f"mean of {_models(summary)}, test rows",
        )
        cost = Tile(
            name="Latency, one row", value=f"{number(latency.baseline)} ms", detail="the baseline"
        )
        return [first, *_fresh_tiles(summary), cost]
    gain = summary.gain
    digits = places(gain.interval, gain.value)
    means = [number(arm.mean, digits) for arm in (summary.baseline, summary.final)]
    rows = count(summary.task.test_rows, "test row")
    only = ", rows only" if outcome.of_rows_only(summary) else ""
    shown = Tile(
        name="p-value, test rows",
        value=p_text(gain.p_value),
        detail=f"{count(gain.n, 'pair')} on {rows}, scored {words.times(summary.test_touches)}",
    )
    gained = Tile(
        name="Gain, test rows",
        value=number(gain.value, digits, signed=True),
        detail=f"95% interval {interval_text(gain.interval, digits, signed=True)}{only}",
        accent=outcome.seen(summary),
    )
    change = Tile(
        name=f"Baseline {ARROW} final",
        value=f"{means[0]} {ARROW} {means[1]}",
        detail=f"mean of {count(gain.n, 'model')} each" if gain.n > 1 else "one model each",
    )
    cost = Tile(
        name="Latency, one row",
        value=f"{number(latency.final)} ms",
        detail=f"baseline {number(latency.baseline)} ms, "
        + ratio(latency.baseline, latency.final, "faster", "slower"),
    )
    if outcome.seen(summary):
        return [gained, change, shown, cost]
    # Where the test rows don't carry the headline, fresh pairs do.
    fresh = _fresh_tiles(summary)
    if summary.proven:
        return [*fresh[:1], change, gained, cost]
    return [*fresh[:1], gained, *fresh[1:], cost]


def _models(summary: Summary) -> str:
    return count(summary.baseline.n, "model")


def _fresh_tiles(summary: Summary) -> list[Tile]:
    """Returns what fresh pairs say of the best recipe found."""
    effect = summary.confirmation
    if effect is None:
        return []
    digits = places(effect.interval, effect.value)
    span = interval_text(effect.interval, digits, signed=True)
    return [
        Tile(
            name="Gain, fresh pairs"
            if summary.delivered == "candidate"
            else "Best recipe found, fresh pairs",
            value=number(effect.value, digits, signed=True),
            detail=f"95% interval {span}, {count(effect.n, 'pair')}",
            accent=summary.proven,
        ),
        Tile(
            name="Likely to be better",
            value=outcome.likely(summary),
            detail=f"not proven: corrected {p_phrase(effect.p_value)}",
        ),
    ]


def _search_sentence(report: Report) -> str:
    counts = report.summary.trials
    if counts.completed + counts.pruned + counts.failed == 0:
        return "No search trial was run."
    return (
        f"{count(counts.completed, 'trial')} completed, {counts.pruned:,} stopped early as "
        f"unpromising, {counts.failed:,} failed. {count(counts.trained, 'model')} trained in all, "
        "repeats for the evidence included."
    )


def _setup(summary: Summary) -> list[tuple[str, str]]:
    task, budget = summary.task, summary.budget_seconds
    limit = "no time limit" if budget is None else f"of a budget of {duration(budget)}"
    pairs = [
        ("Data", clean(task.source)),
        ("Target", clean(task.target)),
        (
            "Rows",
            f"{task.rows:,}: {task.development_rows:,} for development, {task.test_rows:,} for the "
            "test",
        ),
        ("Metric", f"{metric_name(summary.metric)} ({summary.direction})"),
        ("Seed", str(summary.seed)),
        ("Time", f"{duration(summary.seconds)}, {limit}"),
        ("Hardware", _join(summary.hardware)),
        ("Versions", _join(summary.versions)),
    ]
    return [(name, text) for name, text in pairs if text]


def _join(values: dict[str, str] | dict[str, str | int]) -> str:
    return ", ".join(f"{humanize(str(key))} {clean(str(value))}" for key, value in values.items())
