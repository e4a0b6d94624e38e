"""The charts as Vega-Lite specs, drawn to SVG.

Text in a picture shrinks with it, so a chart with labels is drawn twice, for a desktop and for a
phone, and the style sheet shows the one that fits. Sizes are in CSS pixels at a scale of 1.

`altair` is imported in `layered`, not above: `pawl --help` must not pay for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from pawl.report.series import Lines, Search, axis_values
from pawl.report.svg import draw
from pawl.report.text import clean

if TYPE_CHECKING:
    import altair as alt

Tone = Literal["kept", "unproven", "rejected", "baseline", "final"]
TONES: dict[Tone, tuple[str, str, str]] = {  # stroke, fill, shape
    "kept": ("var(--accent)", "var(--accent)", "circle"),
    "unproven": ("var(--neutral)", "var(--paper)", "circle"),
    "rejected": ("var(--bad)", "var(--bad)", "diamond"),
    "baseline": ("var(--neutral)", "var(--neutral)", "circle"),
    "final": ("var(--ink)", "var(--ink)", "circle"),
}

_WIDE, _PHONE, _HALF = 960, 358, 460
_DATA = "rows"
_CROSS = "M-.6,-.6L.6,.6M-.6,.6L.6,-.6"
_CLIP = 4.0
"""An interval is cut, with an arrowhead, at this many times the reach of the median interval."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A chart in two widths; one that has no labels to shrink has the same SVG in both."""

    wide: str
    phone: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of an interval chart: an estimate with its 95% interval; `mean` is a second mark."""

    label: str
    value: float
    interval: tuple[float, float]
    tone: Tone
    note: str
    mean: float | None = None
    new_group: bool = False


@dataclass(frozen=True, kw_only=True)
class Size:
    """The plot area and the room around it."""

    width: int
    height: int
    left: int = 0
    right: int = 0
    top: int = 6
    bottom: int = 40


def intervals(
    rows: Sequence[Row], *, label: str, axis: str, zero: bool, clip: bool = True
) -> Drawing:
    """Returns a forest plot of `rows`, top to bottom, with a line at zero if `zero`.

    With `clip`, intervals that are far longer than others are cut.
    """
    values = [row.value for row in rows] + [row.mean for row in rows if row.mean is not None]
    low = min([*values, *(row.interval[0] for row in rows)])
    high = max([*values, *(row.interval[1] for row in rows)])
    if zero:
        low, high = min(0.0, low), max(0.0, high)
    if zero and clip:
        typical = median(max(abs(end) for end in row.interval) for row in rows)
        reach = max(_CLIP * typical, 1.1 * max(abs(value) for value in values))
        low, high = max(low, -reach), min(high, reach)
    margin = (high - low or abs(high) or 1.0) * 0.03
    domain = (low - margin, high + margin)
    wide, phone = (
        draw(_interval_spec(rows, domain, axis=axis, zero=zero, phone=phone), label)
        for phone in (False, True)
    )
    return Drawing(wide=wide, phone=phone)


def _interval_spec(
    rows: Sequence[Row], domain: tuple[float, float], *, axis: str, zero: bool, phone: bool
) -> dict[str, Any]:
    import altair as alt  # noqa: PLC0415

    pitch, gap = (46, 8) if phone else (30, 10)
    data, top = [], 0
    for row in rows:
        top += gap if row.new_group else 0
        data.append(_interval_datum(row, domain, y=top + (32 if phone else pitch / 2)))
        top += pitch
    room = {"left": 6, "right": 6} if phone else {"left": 210, "right": 214}
    size = Size(width=_fit(_PHONE if phone else _WIDE, room), height=top, **room)

    x_scale = alt.Scale(domain=list(domain), nice=False, zero=False)
    ticks = alt.Axis(
        title=clean(axis),
        tickCount=4 if phone else 6,
        grid=not zero,
        format=axis_format(domain, 4 if phone else 6, signed=zero),
    )
    if zero:
        ticks.labelExpr = "datum.value === 0 ? '0' : datum.label"
    x = alt.X("value:Q", scale=x_scale, axis=ticks)
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, top], range=[0, top], nice=False), axis=None)
    stroke, fill, shape = _tone_channels(alt)
    base = alt.Chart(alt.NamedData(_DATA)).encode(y=y)
    layers: list[alt.Chart] = []
    if zero:
        at_zero = alt.Chart(alt.InlineData(values=[{}])).mark_rule(
            color="var(--muted)", strokeWidth=1
        )
        layers.append(at_zero.encode(x=alt.XDatum(0, scale=x_scale)))
    layers.append(
        base.mark_rule(strokeWidth=2).encode(
            x=alt.X("low:Q", axis=ticks), x2="high:Q", color=stroke
        )
    )
    for key, angle in (("cut_low", 270), ("cut_high", 90)):
        if any(datum[key] is not None for datum in data):
            arrow = base.mark_point(shape="triangle", size=45, angle=angle, filled=True, opacity=1)
            keep = arrow.transform_filter(f"isValid(datum.{key})")
            layers.append(keep.encode(x=alt.X(f"{key}:Q", scale=x_scale), color=stroke))
    if any(datum["mean"] is not None for datum in data):
        tick = base.mark_tick(orient="vertical", size=16, thickness=2, opacity=1)
        layers.append(tick.encode(x=alt.X("mean:Q", scale=x_scale), color=stroke))
    layers.append(
        base.mark_point(size=70, strokeWidth=2, opacity=1).encode(
            x=x, stroke=stroke, fill=fill, shape=shape
        )
    )
    label_at = {"x": alt.value(-size.left)}
    note_at = {"x": alt.value(size.width + (size.right if phone else 16))}
    dy = -19 if phone else 0
    name = base.mark_text(
        align="left",
        baseline="middle",
        dy=dy,
        color="var(--ink)",
        fontSize=13,
        limit=164 if phone else 196,
    )
    note = base.mark_text(
        align="right" if phone else "left",
        baseline="middle",
        dy=dy,
        color="var(--muted)",
        fontSize=12,
        limit=190 if phone else 206,
    )
    layers += [name.encode(text="label:N", **label_at), note.encode(text="note:N", **note_at)]
    return layered(layers, data, size)


def _interval_datum(row: Row, domain: tuple[float, float], y: float) -> dict[str, Any]:
    low, high = row.interval
    return {
        "label": clean(row.label),
        "note": clean(row.note),
        "tone": row.tone,
        "y": y,
        "value": row.value,
        "mean": row.mean,
        "low": max(low, domain[0]),
        "high": min(high, domain[1]),
        "cut_low": domain[0] if low < domain[0] else None,
        "cut_high": domain[1] if high > domain[1] else None,
    }


def history(search: Search, *, label: str) -> Drawing:
    """Returns the scores of the search over the trial number, with the best so far."""
    wide, phone = (
        draw(_history_spec(search, width, height), label)
        for width, height in ((_WIDE, 250), (_PHONE, 220))
    )
    return Drawing(wide=wide, phone=phone)


def _history_spec(search: Search, width: int, height: int) -> dict[str, Any]:
    import altair as alt  # noqa: PLC0415

    room = {"left": 52, "right": 8}
    size = Size(width=_fit(width, room), height=height, **room)
    x = alt.X(
        "number:Q",
        scale=alt.Scale(domain=list(search.numbers), nice=False, padding=8),
        axis=alt.Axis(title="trial", grid=False, tickMinStep=1, tickCount=5, format=",d"),
    )
    y = alt.Y(
        "score:Q",
        scale=alt.Scale(domain=list(search.domain), nice=False, zero=False, padding=8),
        axis=alt.Axis(title=None, tickCount=5, format=axis_format(search.domain, 5)),
    )
    base = alt.Chart(alt.NamedData(_DATA)).encode(x=x)
    dot = base.mark_point(opacity=1, strokeWidth=1.2).encode(y=y)
    pruned = dot.mark_point(size=18, stroke="var(--faint)", opacity=1, strokeWidth=1.2)
    done = dot.mark_point(size=22, filled=True, color="var(--neutral)", opacity=1)
    lost = base.mark_point(shape=_CROSS, size=34, stroke="var(--bad)", strokeWidth=1.5, opacity=1)
    best = base.mark_line(interpolate="step-after", strokeWidth=2, color="var(--ink)").encode(y=y)
    layers = [
        pruned.transform_filter("datum.kind === 'pruned'"),
        done.transform_filter("datum.kind === 'completed'"),
        lost.transform_filter("datum.kind === 'failed'").encode(y=alt.value(height - 6)),
        best.transform_filter("datum.kind === 'best'"),
    ]
    return layered(layers, search.data, size)


def lines(curves: Lines, *, label: str, half: bool = True) -> Drawing:
    """Returns one faint line per seed and arm, and a strong one for each arm's mean."""
    wide, phone = (_HALF, _HALF) if half else (_WIDE, _PHONE)
    drawn = {width: draw(_lines_spec(curves, width), label) for width in {wide, phone}}
    return Drawing(wide=drawn[wide], phone=drawn[phone])


def _lines_spec(curves: Lines, width: int) -> dict[str, Any]:
    import altair as alt  # noqa: PLC0415

    room = {"left": 52, "right": 8}
    size = Size(width=_fit(width, room), height=230, **room)
    stroke, _, _ = _tone_channels(alt)
    reach = alt.Undefined if curves.reach is None else list(curves.reach)
    x = alt.X(
        "step:Q",
        scale=alt.Scale(nice=False, zero=False, domain=reach),
        axis=alt.Axis(title=curves.axis, grid=False, tickCount=4, format="~s"),
    )
    # Vega's logarithmic axis labels every 1, 2, 5 and crowds: name the ticks.
    ticks = axis_values(curves.domain) if curves.logarithmic else None
    y_axis = alt.Axis(title=None, tickCount=5, format=axis_format(curves.domain, 5))
    if ticks:
        y_axis.values, y_axis.format = ticks, "~g"
    kind: Literal["log", "linear"] = "log" if curves.logarithmic else "linear"
    y_scale = alt.Scale(domain=list(curves.domain), nice=False, zero=False, type=kind, clamp=True)
    y = alt.Y("value:Q", scale=y_scale, axis=y_axis)
    base = alt.Chart(alt.NamedData(_DATA)).encode(x=x, y=y, color=stroke, detail="line:N")
    faint = base.mark_line(strokeWidth=1, opacity=0.3).transform_filter("!datum.mean")
    shape: Literal["step-after", "linear"] = "step-after" if curves.held else "linear"
    strong = base.mark_line(strokeWidth=2.2, interpolate=shape).transform_filter("datum.mean")
    return layered([faint, strong], curves.data, size)


def _tone_channels(alt: Any) -> tuple[Any, Any, Any]:
    names = list(TONES)
    parts = zip(*TONES.values(), strict=True)
    scales = [alt.Scale(domain=names, range=list(part)) for part in parts]
    stroke = alt.Color("tone:N", scale=scales[0], legend=None)
    fill = alt.Fill("tone:N", scale=scales[1], legend=None)
    return stroke, fill, alt.Shape("tone:N", scale=scales[2], legend=None)


def layered(layers: list[alt.Chart], data: list[dict[str, Any]], size: Size) -> dict[str, Any]:
    """Returns layers over one set of rows as a spec in the page's colors."""
    import altair as alt  # noqa: PLC0415

    padding = {"left": size.left, "right": size.right, "top": size.top, "bottom": size.bottom}
    chart = (
        alt.layer(*layers)
        .resolve_scale(color="shared")
        .properties(width=size.width, height=size.height, padding=padding, autosize="none")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--muted)",
            titleColor="var(--muted)",
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            gridColor="var(--line)",
            domain=False,
            ticks=False,
            labelPadding=8,
            titlePadding=8,
        )
    )
    spec: dict[str, Any] = chart.to_dict(validate=False)
    spec.setdefault("datasets", {})[_DATA] = data
    return spec


def axis_format(domain: tuple[float, float], count: int, *, signed: bool = False) -> str:
    """Returns the d3 format whose decimals are those of the ticks' step, alike on all ticks."""
    rough = math.log10((domain[1] - domain[0]) / count)
    # d3 rounds the step to 1, 2, 5 or 10 times a power of ten; 10 begins at the root of 50.
    decimals = max(0, -math.floor(rough + 1 - math.log10(50) / 2))
    return f"{'+' if signed else ''},.{decimals}f"


def _fit(total: int, room: dict[str, int]) -> int:
    return total - room["left"] - room["right"]
