"""What `pawl compress` shows."""

from __future__ import annotations

from typing import Any

from pawl.cli import show

_MOST_CLASSES = 12


def show_compressed(result: Any) -> None:
    """Shows what a compression found and left."""
    show.out.print()
    show.out.print(result.statement, style="bold")
    show.out.print()
    order = ""
    for step in result.steps:
        if step.order != order:
            order = step.order
            show.line(f"order    {order}")
        gains = [("faster", step.speed), ("smaller", step.shrinkage)]
        told = [f"{value:.3g}x {what}" for what, value in gains if value is not None]
        if step.value is not None:
            told.append(f"{result.metric} {step.value:.5g}")
        show.line(
            f"{'kept' if step.accepted else 'not':<5}{step.step}: {step.detail or 'nothing to try'}"
        )
        show.line(f"     {'; '.join([*told, step.reason])}")
    show.out.print()
    for name, measured in (("before", result.original), ("after", result.final)):
        (low, high), batch = measured.latency_interval, measured.batch_latency_ms
        peak = measured.memory_bytes
        memory = "" if peak is None else f", {peak:,} bytes of memory"
        show.line(
            f"{name:<8} {result.metric} {measured.value:.5g}, one row {measured.latency_ms:.3g} ms (95% "
            f"{low:.3g} to {high:.3g}), {result.batch_rows} rows {batch:.3g} ms, "
            f"{measured.size_bytes:,} bytes{memory}"
        )
    if result.disturbed:
        show.line(f"timing   {result.disturbed}")
    _runtimes(result.runtime)
    _changes(result.changes)
    show.notes(result.notes)
    show.line(f"rows     {result.told}")
    show.line(f"front    {'; '.join(result.front)}")
    show.line(f"bundle   {result.folder / 'bundle'}")
    show.line(f"record   {result.folder / 'compress.json'}")


def _changes(found: Any) -> None:
    """Shows what a compressed model does otherwise."""
    if found is None:
        return
    show.line(f"changed  {found.statement}")
    for each in found.classes[:_MOST_CLASSES]:
        told = "" if each.lost is None else f", {each.lost:,} rows lost and {each.gained:,} gained"
        show.line(
            f"         {each.name}: {found.measure} {each.before:.4g} to {each.after:.4g}{told}"
        )
    if found.calibration is not None:
        low, high = found.calibration.interval
        before, after = found.calibration.before, found.calibration.after
        show.line(
            f"         calibration error {before:.3g} to {after:.3g} (95% of the difference "
            f"{low:+.2g} to {high:+.2g})"
        )


def _runtimes(found: dict[str, Any]) -> None:
    """Shows which runtimes were timed."""
    if not found:
        return
    for each in found["timed"]:
        if each["ms"] is None:
            show.line(f"runtime  {each['name']}: out, {each['reason']}")
            continue
        low, high = each["speed_interval"]
        first = each.get("slow_start", "")
        show.line(
            f"runtime  {each['name']}: {each['ms']:.3g} ms of {found['batch']} row(s), "
            f"{each['speed']:.3g}x (95% {low:.3g} to {high:.3g}){f'; {first}' if first else ''}"
        )
    if found.get("disturbed"):
        show.line(f"runtime  {found['disturbed']}")
    used = found["used"]
    told = (
        "ONNX Runtime as it is" if used is None else ", ".join(f"{k} {v}" for k, v in used.items())
    )
    show.line(f"runtime  used: {told}")
