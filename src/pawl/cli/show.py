"""What commands print for people."""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from pawl.errors import printable

if TYPE_CHECKING:
    from pawl.techniques import Technique


class _Printable(Console):
    """A console that shows control characters in what it is given as escapes, and obeys none."""

    def render_str(self, text: str, *args: Any, **kwargs: Any) -> Text:
        """Returns a line or cell as it is printed."""
        lines = map(printable, text.split("\n"))
        return super().render_str("\n".join(lines), *args, **kwargs)


_OBEYED = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
out = _Printable(highlight=False, markup=False)
_MAX_NOTES = 10
_MAX_IMPORTANT = 12


def line(text: str) -> None:
    """Prints without breaking the line, so that paths can be copied."""
    out.print(text, soft_wrap=True)


def json_text(text: str) -> None:
    """Prints JSON as it is, but for characters that a terminal obeys and JSON need not escape."""
    sys.stdout.write(_OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def notes(all_notes: Sequence[str]) -> None:
    """Shows what a reader should know of the data, a line each, the first of many."""
    for note in all_notes[:_MAX_NOTES]:
        line(f"note     {note}")
    if len(all_notes) > _MAX_NOTES:
        line(f"note     and {len(all_notes) - _MAX_NOTES} more, which --json lists")


def columns_of(*columns: str) -> Table:
    """Returns a table with these columns and no rows yet."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column)
    return table


@contextlib.contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows on a terminal how many rows are done, of how many, and how long the rest may take."""
    console = Console(file=sys.stderr)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as all_:
        task = all_.add_task(what, total=None)
        yield lambda done, total: all_.update(task, completed=done, total=total)


def campaign(result: Any) -> None:
    """Shows what a campaign found and left."""
    summary = result.summary
    out.print()
    out.print(summary.gain.statement, style="bold")
    measured = any(t.effect is not None for t in summary.techniques)
    if summary.techniques and not measured:
        names = ", ".join(t.name for t in summary.techniques)
        if summary.confirmation is None:
            out.print(f"\nThe best recipe of the search, which was not compared, has: {names}.")
        else:
            out.print(f"\nIts changes were not compared one by one: {names}.")
    elif summary.techniques:
        table = columns_of("technique", "verdict", "effect", "95% interval", "pairs")
        for t in summary.techniques:
            effect = "not measured" if t.effect is None else f"{t.effect:+.3g}"
            interval = "" if t.interval is None else _interval(t.interval)
            table.add_row(t.name, t.verdict, effect, interval, str(t.n or ""))
        out.print()
        out.print(table)
    out.print()
    if summary.findings:
        _findings(summary.findings)
        out.print()
    line(f"task     {summary.task.kind} of {summary.task.target!r}, {summary.task.rows:,} rows")
    notes(summary.task.notes)
    _limits(summary.parts.get("limits"))
    bundle = result.folder / "bundle"
    line(f"report   {result.report}")
    line(f"bundle   {bundle}")
    line(f"predict  pawl predict {shlex.quote(str(bundle))} DATA --out predictions.csv")


def _interval(ends: tuple[float, float]) -> str:
    """Returns an interval's ends in three digits, or that it has none."""
    from pawl.report.text import finite  # noqa: PLC0415

    return f"{ends[0]:+.3g} to {ends[1]:+.3g}" if all(map(finite, ends)) else "unbounded"


def _limits(found: dict[str, Any] | None) -> None:
    """Shows what was done to keep within limits."""
    if found is None:
        return
    if found["missed"]:
        line(f"limits   not kept: {'; '.join(found['missed'])}")
    else:
        line(f"limits   kept: {found['statement']}")
    for step in found["steps"]:
        line(
            f"         {'kept' if step['kept'] else 'not'}: {step['step']}, "
            f"{step['detail'] or 'nothing to try'}; {step['reason']}"
        )
    notes(found["notes"])


def tuned(result: Any) -> None:
    """Shows what a campaign over a function found and left."""
    summary = result.summary
    out.print()
    out.print(summary.statement, style="bold")
    if summary.changes:
        table = columns_of("setting", "verdict", "from", "to", "effect", "95% interval", "seeds")
        for each in summary.changes:
            effect, interval, seeds = "not measured", "", ""
            if each.effect is not None:
                effect, interval = f"{each.effect.value:+.3g}", _interval(each.effect.interval)
                seeds = str(each.effect.n)
            values = [
                f"{v:.4g}" if isinstance(v, float) else str(v) for v in (each.before, each.after)
            ]
            table.add_row(each.name, each.verdict, *values, effect, interval, seeds)
        out.print()
        out.print(table)
    out.print()
    line(f"report   {result.report}")
    line(f"settings {result.folder / 'settings.json'}")


def _findings(findings: Sequence[Any]) -> None:
    for found in findings:
        tries = [f"try {', '.join(found.suggests)}"] if found.suggests else []
        told = [found.evidence, *tries, *([found.advice] if found.advice else [])]
        line(f"{found.severity}: {'; '.join(told)}")
        if found.outcome:
            line(f"{'':9}{found.outcome}")


def diagnosed(result: Any) -> None:
    """Shows what is wrong with data and training."""
    watched = result.diagnosis.training
    _findings(result.findings)
    if not result.findings:
        line("nothing found that is wrong")
    if watched is None or watched.reason:
        line(f"no training was watched: {result.diagnosis.reason}")
    else:
        what = f"{watched.last.step:,} of {watched.total:,} steps"
        line(f"watched  {len(watched.readings)} readings in {what} ({watched.status})")
        for each in result.tried:
            line(f"tried    {each}")
    notes(result.notes)
    if result.folder is not None:
        line(f"record   {result.folder / 'diagnosis.json'}")


def trained(result: Any, bundle: Path) -> None:
    """Shows the score of one recipe."""
    low, high = result.interval
    out.print(f"{result.metric} {result.value:.5g} on the test rows (95% {low:.5g} to {high:.5g})")
    _findings(result.findings)
    notes(result.notes)
    line(f"bundle   {bundle}")


def compared(first: Path, second: Path, result: Any) -> None:
    """Shows how two recipes compare."""
    c = result.comparison
    out.print(f"{second} against {first}: {result.verdict}", style="bold")
    out.print(
        f"{result.metric} {result.means[1]:.5g} against {result.means[0]:.5g}, effect {c.effect:+.3g} "
        f"(95% {_interval(c.interval)}, {c.n} pairs, corrected p = "
        f"{result.p_value:.2g})"
    )
    _findings(result.findings)
    notes(result.notes)


def explained(found: Any) -> None:
    """Shows what matters, where the model is weak, and what the explanations are worth."""
    explanation = found.explanation
    if explanation.importance is not None:
        part = explanation.importance
        table = columns_of("column", f"loss in {part.metric}", "95% interval")
        for each in [*part.features[:_MAX_IMPORTANT], *part.groups]:
            low, high = each.interval
            table.add_row(each.name, f"{each.value:+.3g}", f"{low:+.3g} to {high:+.3g}")
        out.print(table)
        out.print()
    if explanation.calibration is not None:
        part = explanation.calibration
        line(f"calibration error {part.error:.3g}, by chance {part.by_chance[0]:.3g}")
    if explanation.sets is not None:
        part = explanation.sets
        low, high = (100 * end for end in part.interval)
        line(
            f"sets by {part.source} hold {100 * part.held:.1f}% of {part.rows:,} rows "
            f"({low:.1f}% to {high:.1f}%), {100 * part.coverage:g}% are promised"
        )
    for curve in explanation.robustness:
        last = curve.points[-1]
        low, high = last.lost_interval
        line(
            f"{curve.what}: {curve.metric} {last.value:.4g} at {last.level:g} {curve.unit}, "
            f"worse by {last.lost:+.3g} ({low:+.3g} to {high:+.3g})"
        )
    if explanation.slices is not None:
        for each in explanation.slices.slices:
            if each.weak:
                line(
                    f"weak: {each.text}: {explanation.slices.error} {each.error:.3g} against "
                    f"{each.other:.3g} (p = {each.p_value:.2g})"
                )
    if explanation.against is not None:
        part = explanation.against
        low, high = part.score_interval
        line(
            f"against {part.name}: {part.metric} {part.score:.4g} and {part.other_score:.4g}, better by "
            f"{part.score_difference:+.3g} ({low:+.3g} to {high:+.3g}); {part.same_is} {part.same:.3g}"
        )
        for each in part.changes:
            if each.moved:
                low, high = each.interval
                line(
                    f"changed: {each.name}: importance {each.value:.3g} and {each.other:.3g}, by "
                    f"{each.difference:+.3g} ({low:+.3g} to {high:+.3g}), rank {each.rank} and "
                    f"{each.other_rank}"
                )
    for name, reason in explanation.skipped.items():
        line(f"no {name}: {reason}")
    notes(explanation.notes)
    line(f"page     {found.folder / 'explain.html'}")


def techniques(chosen: Sequence[Technique]) -> None:
    """Shows techniques, a line each."""
    table = columns_of("stage", "technique", "what it does")
    for column in table.columns[:2]:
        column.no_wrap = True
    for t in chosen:
        table.add_row(t.stage.value, t.name, t.summary)
    out.print(table)


def technique(record: dict[str, Any]) -> None:
    """Shows a technique with its settings."""
    from pawl.listing import needed, shown  # noqa: PLC0415

    out.print(record["name"], style="bold")
    out.print(f"{record['summary']}\n{record['reference']}")
    out.print(
        f"stage {record['stage']}" + (f", group {record['group']}" if record["group"] else "")
    )
    if record["excludes"]:
        line(f"not with {', '.join(record['excludes'])}")
    if record["needs"]:
        line(needed(record))
    if not record["searched"]:
        line("not searched: a baseline of yours may have it")
    if record["notes"]:
        paragraphs = record["notes"].split("\n\n")
        out.print("\n" + "\n\n".join(" ".join(each.split()) for each in paragraphs) + "\n")
    for one in record["effects"]:
        line(
            f"measured on {one['data']}, {one['metric']}: {one['gain']} at {one['cost']:.2g}x the time, "
            f"{one['pairs']} pairs"
        )
    if not record["effects"]:
        line(f"measured: {record['unmeasured']}")
    if not record["settings"]:
        return
    table = columns_of("setting", "default", "range", "what it is", "per member")
    for setting in record["settings"]:
        table.add_row(
            setting["name"],
            shown(setting["default"]),
            setting["range"],
            setting["description"],
            "yes" if setting["memberwise"] else "no",
        )
    out.print()
    out.print(table)


def examination(found: dict[str, Any]) -> None:
    """Shows versions, hardware and the checks of this machine."""
    for key, value in {**found["hardware"], **found["versions"]}.items():
        out.print(f"{key:>14}  {value}")
    out.print(f"{'cores':>14}  {found['cores']}")
    _checks(found["checks"], "none")


def examined_bundle(found: dict[str, Any]) -> None:
    """Shows whether a bundle does here what it did where it was made."""
    line(f"{'bundle':>14}  {found['bundle']}")
    _checks(found["checks"], "note")


def _checks(checks: Sequence[dict[str, Any]], otherwise: str) -> None:
    for check in checks:
        state = "ok" if check["ok"] else "FAILS" if check["needed"] else otherwise
        line(f"{state:>14}  {check['name']}: {check['detail']}")


def timings(found: dict[str, Any]) -> None:
    """Shows what each way of training takes, the fastest first."""
    table = columns_of("way", "ms per step and member", "seconds to compile")
    for each in sorted(found["ways"], key=lambda each: each["ms"] or float("inf")):
        seconds = "failed" if each["ms"] is None else f"{each['ms']:.3g}"
        table.add_row(each["way"], seconds, f"{each['compile_s']:.1f}" if each["compile_s"] else "")
    out.print(table)
    line(f"\nfor a campaign of an hour: {found['chosen']}")


def anatomy(found: dict[str, Any]) -> None:
    """Shows what is seen of a model, and what each technique could do with it."""
    table = _whole("activation", "called", "is", "sees")
    for each in found["activations"]:
        table.add_row(each["name"], each["called"], each["is"], ", ".join(each["shapes"]))
    line(f"{found['model']}: {len(found['activations'])} activation(s)")
    if found["activations"]:
        out.print(table)
    table = _whole("operation", "is", "takes", "gives", "when")
    for each in found["operations"]:
        shapes = (", ".join(each["takes"]), ", ".join(each["gives"]))
        table.add_row(each["address"], each["is"], *shapes, each["when"])
    out.print(table)
    table = columns_of("technique", "could change it")
    for each in found["techniques"]:
        table.add_row(each["name"], "yes" if each["reason"] is None else f"no: {each['reason']}")
    out.print(table)


def _whole(*columns: str) -> Table:
    """Returns a table whose cells are never cut: half an address is of no use."""
    table = columns_of(*columns)
    for column in table.columns:
        column.overflow = "fold"
    return table
