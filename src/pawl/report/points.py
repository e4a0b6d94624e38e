"""Charts over a number: lines of single rows with their mean, and dots with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pawl.report.charts import Drawing, Size, axis_format, layered
from pawl.report.svg import draw
from pawl.report.text import clean

_WIDTH, _HEIGHT = 460, 230
_ROOM = {"left": 58, "right": 10}
_DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A mean over a number, with its 95% interval."""

    at: float
    value: float
    interval: tuple[float, float]


def curve(
    dots: Sequence[Dot],
    single: Sequence[Sequence[float]],
    *,
    label: str,
    axis: str,
    dates: bool = False,
) -> Drawing:
    """Returns a mean with its band over a number, and a faint line for each of `single`."""
    import altair as alt  # noqa: PLC0415 - `pawl --help` must not pay for it

    data: list[dict[str, Any]] = [_datum(dot, dates) for dot in dots]
    for number, line in enumerate(single):
        data += [
            {"at": datum["at"], "value": value, "line": number, "single": True}
            for datum, value in zip(data[: len(dots)], line, strict=True)
        ]
    ends = [dot.interval for dot in dots]
    values = [*(end for pair in ends for end in pair), *(v for line in single for v in line)]
    x = _x(alt, [datum["at"] for datum in data[: len(dots)]], axis, dates)
    domain = (min(values), max(values))
    y = _y(alt, domain)
    base = alt.Chart(alt.NamedData("rows")).encode(x=x)
    mean = base.transform_filter("!datum.single")
    layers = [
        base.transform_filter("datum.single")
        .mark_line(strokeWidth=1, opacity=0.35, color="var(--faint)")
        .encode(y=y, detail="line:N"),
        mean.mark_area(opacity=0.2, color="var(--accent)").encode(
            y=_y(alt, domain, "low:Q"), y2="high:Q"
        ),
        mean.mark_line(strokeWidth=2.2, color="var(--accent)").encode(y=y),
    ]
    return _drawn(layers, data, label)


def against(
    dots: Sequence[Dot], *, label: str, axis: str, domain: tuple[float, float] | None = None
) -> Drawing:
    """Returns dots with intervals over a number, and the diagonal on which both are equal."""
    import altair as alt  # noqa: PLC0415

    values = [end for dot in dots for end in (dot.at, dot.value, *dot.interval)]
    low, high = domain or (min(values), max(values))
    data = [_datum(dot, dates=False) for dot in dots]
    data += [{"at": end, "value": end, "line": 0, "single": True} for end in (low, high)]
    reach = (low, high)
    x, y = _x(alt, [low, high], axis, dates=False), _y(alt, reach)
    base = alt.Chart(alt.NamedData("rows")).encode(x=x)
    shown = base.transform_filter("!datum.single")
    layers = [
        base.transform_filter("datum.single")
        .mark_line(strokeWidth=1, color="var(--neutral)", strokeDash=[4, 4])
        .encode(y=y),
        shown.mark_rule(strokeWidth=2, color="var(--accent)").encode(
            y=_y(alt, reach, "low:Q"), y2="high:Q"
        ),
        shown.mark_point(size=60, filled=True, opacity=1, color="var(--accent)").encode(y=y),
    ]
    return _drawn(layers, data, label)


def _datum(dot: Dot, dates: bool) -> dict[str, Any]:
    at = dot.at * _DAY_MS if dates else dot.at
    return {"at": at, "value": dot.value, "low": dot.interval[0], "high": dot.interval[1]}


def _x(alt: Any, places: Sequence[float], axis: str, dates: bool) -> Any:
    low, high = min(places), max(places)
    ticks = alt.Axis(title=clean(axis), grid=False, tickCount=4)
    if dates:
        return alt.X(
            "at:T", scale=alt.Scale(type="utc", domain=[low, high], nice=False), axis=ticks
        )
    if high > low:
        ticks.format = axis_format((low, high), 4)
    scale = alt.Scale(domain=[low, high], nice=False, zero=False, padding=6)
    return alt.X("at:Q", scale=scale, axis=ticks)


def _y(alt: Any, domain: tuple[float, float], field: str = "value:Q") -> Any:
    low, high = domain
    if not high > low:
        margin = abs(low) * 0.05 or 0.5
        low, high = low - margin, high + margin
    scale = alt.Scale(domain=[low, high], nice=False, zero=False, padding=6)
    axis = alt.Axis(title=None, tickCount=5, format=axis_format((low, high), 5))
    return alt.Y(field, scale=scale, axis=axis)


def _drawn(layers: list[Any], data: list[dict[str, Any]], label: str) -> Drawing:
    width = _WIDTH - _ROOM["left"] - _ROOM["right"]
    size = Size(width=width, height=_HEIGHT, **_ROOM)
    drawn = draw(layered(layers, data, size), label)
    return Drawing(wide=drawn, phone=drawn)
