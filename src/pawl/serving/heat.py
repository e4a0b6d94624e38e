"""Pictures of layers over time: a row for each layer, a column for each reading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from pawl.report.text import clean, finite
from pawl.serving.drawing import WIDE

SHADES = 8
_ROW, _TOP, _FOOT, _RIGHT = 20, 6, 40, 10
_CHARACTER, _LONGEST = 7.2, 34
Values = Sequence[Sequence[float | None]]
"""By reading, then by layer."""


def shades(
    values: Values, *, share: bool = False
) -> tuple[list[list[int | None]], tuple[float, float]] | None:
    """Returns the shade of each value, from 0 to `SHADES - 1`, and the range; `None` without values.

    On a logarithmic scale, of what is above zero; zero has the lightest shade. Shares lie from 0 to 1.

    >>> shades([[1.0, 10.0], [None, 100.0]])
    ([[0, 4], [None, 7]], (1.0, 100.0))
    >>> shades([[0.0, 0.5, 1.0]], share=True)
    ([[0, 4, 7]], (0.0, 1.0))
    """
    known = [x for row in values for x in row if x is not None and finite(x) and x >= 0]
    if not known:
        return None
    above = [x for x in known if x > 0]
    low, high = (0.0, 1.0) if share else (min(above, default=0.0), max(above, default=0.0))

    def shade(value: float | None) -> int | None:
        if value is None or not finite(value) or value < 0:
            return None
        if value == 0:
            return 0
        if share:
            return min(SHADES - 1, int(SHADES * value))
        if low == high:
            return SHADES // 2
        part = math.log(value / low) / math.log(high / low)
        return min(SHADES - 1, int(SHADES * part))

    return [[shade(x) for x in row] for row in values], (low, high)


def heat(
    names: Sequence[str],
    steps: Sequence[int],
    values: Values,
    *,
    label: str,
    what: str,
    share: bool = False,
) -> str | None:
    """Returns layers as rows and readings as columns, as SVG; `None` without values.

    Args:
        names: Of the layers.
        steps: Of the readings.
        values: By reading, then by layer.
        label: What the picture shows, for those who do not see it.
        what: What a value is, for who points at one.
        share: Whether values are shares.
    """
    found = shades(values, share=share)
    if found is None:
        return None
    shaded, _ = found
    longest = max(len(_short(name)) for name in names)
    left = 14 + _CHARACTER * longest
    height = _TOP + _ROW * len(names) + _FOOT
    root = Xml.Element("svg", {"viewBox": f"0 0 {WIDE} {height}", "role": "img"})
    root.set("aria-label", clean(label))
    across = (WIDE - left - _RIGHT) / len(steps)
    for layer, name in enumerate(names):
        y = _TOP + _ROW * layer
        _text(root, left - 8, y + _ROW / 2 + 4, _short(name), "end")
        for place, step in enumerate(steps):
            shade, value = shaded[place][layer], values[place][layer]
            tone = "none" if shade is None else str(shade)
            shape = {
                "x": _at(left + across * place), "y": _at(y + 1), "width": _at(max(1.0, across - 1)),
                "height": _at(_ROW - 2), "class": f"heat heat-{tone}",
            }  # fmt: skip
            said = "not finite" if value is None else f"{value:.3g}"
            mark = Xml.SubElement(root, "rect", shape)
            Xml.SubElement(mark, "title").text = clean(f"{name}, step {step:,}: {what} {said}")
    foot = _TOP + _ROW * len(names) + 16
    every = max(1, math.ceil(len(steps) / 8))
    for place in range(0, len(steps), every):
        _text(root, left + across * (place + 0.5), foot, f"{steps[place]:,}", "middle")
    _text(root, (left + WIDE) / 2, height - 6, "step", "middle").set("class", "axis-title")
    return Xml.tostring(root, encoding="unicode")


def _short(name: str) -> str:
    name = clean(name)
    return name if len(name) <= _LONGEST else f"{name[:12]}…{name[13 - _LONGEST :]}"


def _at(value: float) -> str:
    return f"{value:.1f}"


def _text(root: Xml.Element, x: float, y: float, text: str, anchor: str) -> Xml.Element:
    shape = {"x": _at(x), "y": _at(y), "class": "tick", "text-anchor": anchor}
    made = Xml.SubElement(root, "text", shape)
    made.text = clean(text)
    return made
