"""Charts as SVG, written at once: hundreds of marks in milliseconds, each with its number on it.

The report draws with Vega, which takes a second for a chart; a page that is redrawn while a campaign
goes on cannot wait for that. Marks have the report's colors and its way of naming them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree as Xml

from pawl.report.text import clean

WIDE, HALF, PHONE = 960, 460, 358
_TOP, _BOTTOM, _RIGHT = 10, 42, 10
_CHARACTER = 7.2
_MOST_POINTS = 300


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A range with its ticks and the name of what lies along it.

    Attributes:
        low: Its beginning.
        high: Its end.
        title: What it shows.
        logarithmic: Whether it is divided so.
    """

    low: float
    high: float
    title: str = ""
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Returns where a value lies, from 0 to 1; beyond the ends it lies at them."""
        low, high = self.low, self.high
        if self.logarithmic:
            value = math.log(max(value, low))
            low, high = math.log(low), math.log(high)
        return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.5

    def ticks(self, count: int) -> list[tuple[float, str]]:
        """Returns about so many round values in the range, with their texts.

        >>> Axis(low=0.0, high=1.0).ticks(4)
        [(0.0, '0.0'), (0.2, '0.2'), (0.4, '0.4'), (0.6, '0.6'), (0.8, '0.8'), (1.0, '1.0')]
        """
        if self.logarithmic:
            powers = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            every = max(1, math.ceil(len(powers) / count))
            return [(10.0**power, f"{10.0**power:g}") for power in powers[::every]]
        if not self.high > self.low:
            return [(self.low, f"{self.low:.4g}")]
        rough = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(rough))
        step = min((f * power for f in (1, 2, 5, 10)), key=lambda each: abs(each - rough))
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        values = [round(number * step, 12) for number in range(first, last + 1)]
        return [(value, f"{value:,.{decimals}f}") for value in values]


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A trial in a scatter: where it is, how it ended (or `top`, the best), its text."""

    id: int
    x: float
    y: float | None
    tone: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a chart, or the band around one: `low` and `high` beside each of its points."""

    points: Sequence[tuple[float, float]]
    tone: str
    text: str = ""
    band: Sequence[tuple[float, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Frame:
    """The room in which marks lie."""

    width: int
    height: int
    left: float
    x: Axis
    y: Axis

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Returns the place of a point in pixels."""
        across, up = self.width - self.left - _RIGHT, self.height - _TOP - _BOTTOM
        return (
            round(self.left + across * self.x.share(x), 1),
            round(_TOP + up * (1.0 - self.y.share(y)), 1),
        )


def scatter(
    dots: Sequence[Dot],
    best: Sequence[tuple[float, float]],
    axes: tuple[Axis, Axis],
    *,
    label: str,
    width: int = WIDE,
) -> str:
    """Returns trials as dots, those without a score at the foot, with the best so far as steps.

    Args:
        dots: The trials.
        best: Where the best so far changes, and its value from there on.
        axes: Across and up.
        label: What the picture shows, for those who do not see it.
        width: In pixels.
    """
    root, frame = _framed(axes, label, width, 300 if width > HALF else 240)
    marks = Xml.SubElement(root, "g", {"class": "dots"})
    order = {"failed": 0, "pruned": 1, "completed": 2, "top": 3}
    for dot in sorted(dots, key=lambda dot: order.get(dot.tone, 0)):
        x, y = frame.at(dot.x, frame.y.low if dot.y is None else dot.y)
        shape = {"class": f"dot {dot.tone}", "data-trial": str(dot.id)}
        if dot.tone == "failed":
            mark = _add(marks, "path", d=f"M{x - 3.5},{y - 3.5}l7,7m0,-7l-7,7", **shape)
        else:
            radius = 5.5 if dot.tone == "top" else 4
            mark = _add(marks, "circle", cx=x, cy=y, r=radius, **shape)
        _add(mark, "title").text = clean(dot.text)
    if best:
        steps = [frame.at(*best[0])]
        for point in best[1:]:
            x, y = frame.at(*point)
            steps += [(x, steps[-1][1]), (x, y)]
        _add(root, "path", d=_path(steps), **{"class": "best"})
    return Xml.tostring(root, encoding="unicode")


def lines(drawn: Sequence[Line], axes: tuple[Axis, Axis], *, label: str, width: int = HALF) -> str:
    """Returns lines with their bands; a line is broken where a value is missing."""
    root, frame = _framed(axes, label, width, 240)
    for line in drawn:
        if line.band:
            upper = [frame.at(x, high) for x, _, high in line.band]
            lower = [frame.at(x, low) for x, low, _ in reversed(line.band)]
            shape = {"class": f"band {line.tone}"}
            _add(root, "path", d=f"{_path([*upper, *lower])}Z", **shape)
    for line in drawn:
        points = thinned(line.points)
        mark = _add(
            root, "path", d=_path([frame.at(*each) for each in points]),
            **{"class": f"line {line.tone}"},
        )  # fmt: skip
        if line.text:
            _add(mark, "title").text = clean(line.text)
    return Xml.tostring(root, encoding="unicode")


def parallel(
    axes: Sequence[tuple[str, Sequence[tuple[float, str]]]],
    rows: Sequence[tuple[int, str, str, Sequence[float | None]]],
    *,
    label: str,
) -> str:
    """Returns a line for each trial through its place on every axis.

    Args:
        axes: Names, and ticks as places (0 at the foot, 1 at the top) with texts.
        rows: Number, tone, text and places of each trial; `None` for what it does not have.
        label: What the picture shows.
    """
    height, top, foot, left = 320, 40, 296, 60
    root = Xml.Element("svg", {"viewBox": f"0 0 {WIDE} {height}", "role": "img"})
    root.set("aria-label", clean(label))
    step = (WIDE - 2 * left) / max(1, len(axes) - 1)
    group = Xml.SubElement(root, "g", {"class": "dots"})
    for id, tone, text, places in rows:
        parts, open_ = [], False
        for number, place in enumerate(places):
            if place is None:
                open_ = False
                continue
            x, y = round(left + number * step, 1), round(foot - place * (foot - top - 10), 1)
            parts.append(f"{'L' if open_ else 'M'}{x},{y}")
            open_ = True
        shape = {"class": f"thread {tone}", "data-trial": str(id)}
        _add(_add(group, "path", d="".join(parts), **shape), "title").text = clean(text)
    for number, (name, ticks) in enumerate(axes):
        x, first, final = round(left + number * step, 1), number == 0, number == len(axes) - 1
        _add(root, "path", d=f"M{x},{top + 8}V{foot}", **{"class": "rule"})
        anchor = "start" if first else "end" if final else "middle"
        at = 4.0 if first else WIDE - 4.0 if final else x
        head = _text(root, at, top - 22 + 15 * (number % 2), name, anchor)
        head.set("class", "axis-title")
        for place, text in ticks:
            y = round(foot - place * (foot - top - 10) + 4, 1)
            _text(root, x - 7 if first else x + 7, y, text, "end" if first else "start")
    return Xml.tostring(root, encoding="unicode")


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns the points of a long line that its shape needs: of each stretch least, most and last."""
    if len(points) <= _MOST_POINTS:
        return list(points)
    size = math.ceil(3 * len(points) / _MOST_POINTS)
    kept: list[tuple[float, float]] = [points[0]]
    for start in range(0, len(points), size):
        stretch = range(start, min(start + size, len(points)))
        by_value: Callable[[int], float] = lambda place: points[place][1]  # noqa: E731
        chosen = {min(stretch, key=by_value), max(stretch, key=by_value), stretch[-1]}
        kept += [points[place] for place in sorted(chosen) if place]
    return kept


def _framed(
    axes: tuple[Axis, Axis], label: str, width: int, height: int
) -> tuple[Xml.Element, Frame]:
    """Returns an empty chart with its axes."""
    across, up = axes
    ticks = up.ticks(5)
    left = 14 + _CHARACTER * max((len(text) for _, text in ticks), default=1)
    frame = Frame(width, height, left, across, up)
    root = Xml.Element("svg", {"viewBox": f"0 0 {width} {height}", "role": "img"})
    root.set("aria-label", clean(label))
    for value, text in ticks:
        _, y = frame.at(across.low, value)
        _add(root, "path", d=f"M{left},{y}H{width - _RIGHT}", **{"class": "grid"})
        _text(root, left - 8, y + 4, text, "end")
    foot = height - _BOTTOM + 17
    for value, text in across.ticks(6 if width > HALF else 4):
        x, _ = frame.at(value, up.low)
        _text(root, min(x, width - 14), foot, text, "middle")
    if across.title:
        title = _text(root, (left + width) / 2, height - 6, across.title, "middle")
        title.set("class", "axis-title")
    return root, frame


def _text(parent: Xml.Element, x: float, y: float, text: str, anchor: str) -> Xml.Element:
    made = _add(parent, "text", x=x, y=y, **{"class": "tick", "text-anchor": anchor})
    made.text = clean(text)
    return made


def _add(parent: Xml.Element, tag: str, **attributes: object) -> Xml.Element:
    return Xml.SubElement(parent, tag, {name: str(value) for name, value in attributes.items()})


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x},{y}" for x, y in points) if points else ""
