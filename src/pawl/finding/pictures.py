"""A value over a setting on a logarithmic axis, as the text of an SVG file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pawl.report.charts import Size, axis_format, layered
from pawl.report.svg import draw, standalone
from pawl.report.text import clean

_ROOM = {"left": 64, "right": 14, "top": 34, "bottom": 44}
_WIDTH, _HEIGHT = 560, 300


@dataclass(frozen=True)
class Mark:
    """A value, and half its interval."""

    at: float
    value: float
    half: float = 0.0


def drawn(
    marks: Sequence[Mark],
    *,
    chosen: float,
    axis: str,
    title: str,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> str:
    """Returns marks with their intervals, joined by a line, and a line at what is chosen.

    Args:
        marks: At least one.
        chosen: A place on the axis.
        axis: Its title.
        title: Of the picture.
        bounds: Values beyond these are drawn at them.
    """
    import altair as alt  # noqa: PLC0415 - `pawl --help` must not pay for it

    data = [
        {
            "at": mark.at,
            "value": _within(mark.value, bounds),
            "low": _within(mark.value - mark.half, bounds),
            "high": _within(mark.value + mark.half, bounds),
        }
        for mark in marks
    ]
    ends = [datum[name] for datum in data for name in ("low", "high")]
    low, high = min(ends), max(ends)
    if not high > low:
        low, high = low - (abs(low) * 0.05 or 0.5), high + (abs(high) * 0.05 or 0.5)
    places = [mark.at for mark in marks]
    x_scale: Any = alt.Scale(type="log", domain=[min(places), max(places)], nice=False, padding=8)
    ticks = _ticks(min(places), max(places))
    x_axis = alt.Axis(title=clean(axis), grid=False, format="~g", values=ticks)
    x = alt.X("at:Q", scale=x_scale, axis=x_axis)
    y_axis = alt.Axis(title=None, tickCount=5, format=axis_format((low, high), 5))
    scale = alt.Scale(domain=[low, high], nice=False, zero=False, padding=8)
    base = alt.Chart(alt.NamedData("rows")).encode(x=x)
    value = alt.Y("value:Q", scale=scale, axis=y_axis)
    at_choice = alt.Chart(alt.InlineData(values=[{"at": chosen}])).encode(x=x)
    words = alt.Chart(alt.InlineData(values=[{"at": chosen}]))
    layers: list[Any] = [
        at_choice.mark_rule(strokeWidth=1, color="var(--ink)", strokeDash=[3, 3]),
        base.mark_rule(strokeWidth=2, color="var(--accent)", opacity=0.5).encode(
            y=alt.Y("low:Q", scale=scale, axis=y_axis), y2="high:Q"
        ),
        base.mark_line(strokeWidth=2, color="var(--accent)").encode(y=value),
        base.mark_point(size=42, filled=True, opacity=1, color="var(--accent)").encode(y=value),
        words.mark_text(
            align="left", baseline="bottom", dy=-14, fontSize=13, color="var(--ink)",
            text=clean(f"{title}; {chosen:.3g} suggested"),
        ).encode(x=alt.value(0), y=alt.value(0)),
    ]  # fmt: skip
    room = _ROOM["left"] + _ROOM["right"], _ROOM["top"] + _ROOM["bottom"]
    size = Size(width=_WIDTH - room[0], height=_HEIGHT - room[1], **_ROOM)
    return standalone(draw(layered(layers, data, size), clean(title)))


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _ticks(low: float, high: float) -> list[float]:
    """Returns powers of ten, or of two where there are few of ten, within two bounds."""
    for base in (10.0, 2.0):
        first, last = math.ceil(math.log(low, base) - 1e-9), math.floor(math.log(high, base) + 1e-9)
        ticks = [base**power for power in range(first, last + 1)]
        if len(ticks) > 2:
            return ticks[:: max(1, len(ticks) // 6)]
    return [low, high]
