"""The report's sections: figures with their numbers as tables, and rows of text."""

from __future__ import annotations

from collections.abc import Sequence

from pawl.report import charts, series
from pawl.report.charts import Row, Tone
from pawl.report.figures import Figure, Table, drawable, effect_cells, effect_row
from pawl.report.outcome import of_rows_only, seen
from pawl.report.records import Report, TrialPoint
from pawl.report.summary import ArmSummary, Effect, Summary
from pawl.report.text import (
    capital,
    clean,
    count,
    duration,
    finite,
    humanize,
    interval_text,
    metric_name,
    number,
    places,
    ratio,
    size,
)

MAX_LISTED = 300


def final_tone(summary: Summary) -> Tone:
    """Returns the accent only where the gain is proven, and seen on the test rows too."""
    return "kept" if seen(summary) else "final"


def _kept(arm: ArmSummary) -> str:
    return f"the average of {arm.averaged} models" if arm.averaged > 1 else "one model"


def arms(summary: Summary) -> list[Figure]:
    """Returns the arms on the test rows, and the gain against zero."""
    metric = capital(metric_name(summary.metric))
    better = "higher" if summary.direction == "maximize" else "lower"
    pairs: list[tuple[str, Tone]] = [("baseline", "baseline")]
    if summary.delivered == "candidate":
        pairs.append(("final", final_tone(summary)))
    rows, listed = [], []
    for name, tone in pairs:
        arm = summary.baseline if name == "baseline" else summary.final
        digits = places(arm.interval, arm.value)
        span = interval_text(arm.interval, digits)
        mean = number(arm.mean, digits)
        listed.append((capital(name), number(arm.value, digits), span, mean, str(arm.n)))
        if drawable(arm.value, arm.interval):
            note = f"{number(arm.value, digits)}  ({span})"
            rows.append(
                Row(
                    label=capital(name),
                    value=arm.value,
                    interval=arm.interval,
                    tone=tone,
                    note=note,
                    mean=arm.mean if finite(arm.mean) else None,
                )
            )
    figures = []
    if rows:
        label = (
            f"{metric} of {' and '.join(name for name, _ in pairs)} on the test rows: "
            + "; ".join(f"{row.label} {row.note}" for row in rows)
        )
        figures.append(
            Figure(
                title=f"{metric} on the test rows, {better} is better",
                caption=f"Dot: what is kept, {_kept(summary.final)}, with its 95% interval over test "
                "rows. Tick: the mean over single models.",
                drawing=charts.intervals(rows, label=label, axis=metric, zero=False),
                table=Table(
                    heads=("Arm", metric, "95% interval", "Mean of single models", "Models"),
                    rows=listed,
                ),
            )
        )
    gained = _gained(summary)
    return figures if gained is None else [*figures, gained]


def _gained(summary: Summary) -> Figure | None:
    """Returns the gain against zero, on the test rows and on fresh pairs; `None` without any."""
    gain, stays = summary.gain, summary.delivered == "baseline"
    compared: list[tuple[str, Effect, Tone]] = []
    if not stays:
        effect = Effect(**gain.model_dump(exclude={"proven", "statement"}))
        compared.append(("On the test rows", effect, "kept" if seen(summary) else "unproven"))
    if summary.confirmation is not None:
        fresh: Tone = "kept" if summary.proven else "unproven"
        compared.append(("On fresh pairs", summary.confirmation, fresh))
    drawn = [
        effect_row(name, effect, tone)
        for name, effect, tone in compared
        if drawable(effect.value, effect.interval)
    ]
    if not drawn:
        return None
    which = "best recipe found" if stays else "final"
    label = f"Gain, {which} over baseline, positive is better: "
    caption = "Taken pair by pair, so it can be certain where the two intervals above overlap."
    if stays:
        caption = "The best recipe found is not in the bundle."
    elif of_rows_only(summary):
        caption += " On the test rows it is of one model of each arm, its interval of rows only."
    return Figure(
        title=f"Gain, {which} over baseline, right of zero is better",
        caption=caption,
        drawing=charts.intervals(
            drawn,
            label=label + "; ".join(f"{row.label} {row.note}" for row in drawn),
            axis=f"gain in {metric_name(summary.metric)}",
            zero=True,
        ),
        table=Table(
            heads=("Measured", "Gain", "95% interval", "p", "Pairs"),
            rows=[(name, *effect_cells(effect)) for name, effect, _ in compared],
        ),
    )


def history(report: Report) -> Figure | None:
    """Returns the search; `None` where no trial has a score."""
    summary = report.summary
    found = series.search(report.trials, summary.direction)
    if found is None:
        return None
    metric = metric_name(summary.metric)
    ordered = sorted(report.trials, key=lambda trial: trial.number)
    best = series.running_best(ordered, summary.direction)
    kinds = {row["kind"] for row in found.data}
    names = {
        "completed": "completed",
        "pruned": "pruned or stopped",
        "failed": "failed or diverged",
        "best": "best so far",
    }
    caption = f"Validation {metric} by trial; the search's own view, no claim rests on it."
    if found.outside:
        caption += f" {count(found.outside, 'score')} beyond the axis, drawn at its edge."
    label = f"Validation {metric} of {count(len(ordered), 'trial')}"
    if best:
        label += f"; the best is {number(best[-1][1], 4)}"
    return Figure(
        title="Every trial of the search",
        caption=caption,
        drawing=charts.history(found, label=label),
        table=_trial_table(ordered, summary),
        legend=[(f"trial-{kind}", name) for kind, name in names.items() if kind in kinds],
    )


def curves(report: Report) -> list[Figure]:
    """Returns training loss and validation score over the steps, for each arm."""
    summary = report.summary
    metric = metric_name(summary.metric)
    tone = final_tone(summary)
    points = report.curves
    if summary.delivered == "baseline":  # both arms are the same
        points = tuple(point for point in points if point.arm == "baseline")
    listed = [
        (
            capital(point.arm),
            str(point.seed),
            f"{point.step:,}",
            number(point.train_loss, 4),
            number(point.valid_score, 4),
        )
        for point in series.last_points(points)
    ]
    heads = ("Arm", "Seed", "Last step", "Training loss", f"Validation {metric}")
    arms = (("line-baseline", "baseline"), (f"line-{tone}", "final"))
    better = "higher" if summary.direction == "maximize" else "lower"
    wanted: tuple[tuple[series.Field, str, series.Direction], ...] = (
        ("train_loss", "Training loss", "minimize"),
        ("valid_score", f"Validation {metric}, {better} is better", summary.direction),
    )
    figures = []
    for name, title, direction in wanted:
        found = series.lines(points, name, tone, direction)
        if found is None:
            continue
        shown = {point.arm for point in points if finite(getattr(point, name))}
        notes = " Logarithmic scale." if found.logarithmic else ""
        if len(shown) < len({point.arm for point in points}):
            notes += (
                " A recipe without early stopping trains on all rows and has none to validate on."
            )
        figures.append(
            Figure(
                title=title,
                caption=f"Thin: single trainings. Strong: their mean.{notes}",
                drawing=charts.lines(
                    found, label=f"{title} over steps, {' and '.join(sorted(shown))}"
                ),
                table=Table(heads=heads, rows=listed),
                legend=[(shade, arm) for shade, arm in arms if arm in shown],
                half=True,
            )
        )
    return figures


def cost(summary: Summary) -> Table:
    """Returns what the baseline and the final model cost to run."""
    parts = summary.cost
    batch = f"Latency, {count(parts.batch_rows, 'row')}"
    rows = []
    for name, pair in (("Latency, one row", parts.latency_ms), (batch, parts.batch_latency_ms)):
        both = [f"{number(value)} ms" for value in (pair.baseline, pair.final)]
        rows.append((name, *both, ratio(pair.baseline, pair.final, "faster", "slower")))
    weight = parts.size_bytes
    sizes = (size(weight.baseline), size(weight.final))
    rows.append(("Size", *sizes, ratio(weight.baseline, weight.final, "smaller", "larger")))
    num = parts.parameters
    counts = (number(num.baseline, 0), number(num.final, 0))
    rows.append(("Parameters", *counts, ratio(num.baseline, num.final, "fewer", "more")))
    heads = ("", "Baseline", "Final", "Final is")
    single = parts.single
    if single is None:
        return Table(heads=heads, rows=rows)
    alone = (
        f"{number(single.latency_ms)} ms", f"{number(single.batch_latency_ms)} ms",
        size(single.size_bytes), number(single.parameters, 0),
    )  # fmt: skip
    return Table(
        heads=(*heads, f"One model: {humanize(single.name)}"),
        rows=[(*row, mine) for row, mine in zip(rows, alone, strict=True)],
        note=_in_place_of(summary),
    )


def _in_place_of(summary: Summary) -> str:
    """Returns what one model in place of several loses, and how to get it."""
    single = summary.cost.single
    assert single is not None
    metric, options, lost = metric_name(summary.metric), "--average 1", ""
    if len(summary.parts.get("ensemble", {}).get("members", [])) > 1:
        options += " --ensemble none"
    if single.effect is not None:
        gained, span, *_ = effect_cells(single.effect)
        lost = f" The blend is better by {gained} (95% interval {span}) in {metric} on fresh pairs."
    elif summary.final.n > 1:
        digits = places(summary.final.interval, summary.final.value)
        alone, mean = (number(v, digits) for v in (summary.final.mean, summary.final.value))
        lost = (
            f" In {metric} on the test rows single models have {alone} on average, together {mean}."
        )
    return (
        f"One model, in place of the {single.instead_of} whose mean is delivered, is of the recipe that "
        f"did best by itself where choices were made.{lost} {options} delivers one; pawl compress makes "
        "what is there smaller, as --max-latency and --max-size do within a campaign."
    )


def _trial_table(trials: Sequence[TrialPoint], summary: Summary) -> Table:
    sign = 1.0 if summary.direction == "maximize" else -1.0
    note = ""
    if len(trials) > MAX_LISTED:
        note = (
            f"The best {MAX_LISTED} of {len(trials):,}; all of them are in the campaign's ledger."
        )
        scored = [trial for trial in trials if finite(trial.score)]
        trials = sorted(scored, key=lambda trial: -sign * (trial.score or 0.0))[:MAX_LISTED]
    heads = ("Trial", "Generation", "Status", "Score", "Steps", "After", "Against the baseline")
    rows = [
        (
            str(trial.number),
            str(trial.generation),
            trial.status,
            number(trial.score, 4),
            f"{trial.steps:,}",
            duration(trial.seconds),
            clean(trial.recipe) or "as it is",
        )
        for trial in trials
    ]
    return Table(heads=heads, rows=rows, note=note)
