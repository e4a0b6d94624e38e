"""What instruments read of layers: of any trial, and of the training that the diagnosis watched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pawl.report.text import clean, number
from pawl.serving import drawing
from pawl.serving.drawing import Axis, Line
from pawl.serving.heat import Values, heat, shades

_OF_TRIAL = {
    "gradients": ("Gradients", "norm of the gradient"),
    "moved": ("Updates over weights", "change of a step over the weights"),
    "norms": ("Weights", "norm of the weights"),
}
_OF_UNITS = {
    "dead": ("Dead units", "share that returns the same for every row"),
    "saturated": ("Saturated units", "share at an end of their range"),
    "std": ("Activations", "deviation of all values"),
}
_SHARES = ("dead", "saturated")


@dataclass(frozen=True, kw_only=True)
class Heat:
    """A picture of layers over time: its title, what it shows, its least and largest value, and whether
    a value is missing because it was not finite."""

    title: str
    what: str
    low: str
    high: str
    missing: bool
    scale: str
    svg: str


def of_trial(known: Mapping[str, Any]) -> list[Heat]:
    """Returns pictures of what was read of a trial's layers (`LayerReadings.to_dict`)."""
    try:
        names, steps = [str(name) for name in known["names"]], [int(s) for s in known["steps"]]
        return _pictures(names, steps, {key: known[key] for key in _OF_TRIAL}, _OF_TRIAL)
    except (LookupError, TypeError, ValueError):
        return []


def of_watched(training: Mapping[str, Any]) -> list[Heat]:
    """Returns pictures of the training that the diagnosis watched (`Training.to_dict`)."""
    try:
        readings = training["readings"]
        steps = [int(each["step"]) for each in readings]
        weights = [
            [one for one in each["weights"] if int(one["axes"]) > 1] or each["weights"]
            for each in readings
        ]
        names = [str(one["name"]) for one in weights[0]]
        columns = {"gradients": "gradient", "moved": "moved", "norms": "norm"}
        of_weights = {
            key: [[one[own] for one in each] for each in weights] for key, own in columns.items()
        }
        found = _pictures(names, steps, of_weights, _OF_TRIAL)
        units = [each["units"] for each in readings]
        if units[0]:
            called = [f"{one['name']} ({one['function']})" for one in units[0]]
            of_units = {key: [[one[key] for one in each] for each in units] for key in _OF_UNITS}
            found += _pictures(called, steps, of_units, _OF_UNITS)
        return found
    except (LookupError, TypeError, ValueError):
        return []


def _pictures(
    names: Sequence[str],
    steps: Sequence[int],
    values: Mapping[str, Values],
    titles: Mapping[str, tuple[str, str]],
) -> list[Heat]:
    found = []
    for key, (title, what) in titles.items():
        rows = [row for row in values[key] if len(row) == len(names)]
        there = [
            step for step, row in zip(steps, values[key], strict=True) if len(row) == len(names)
        ]
        share = key in _SHARES
        shaded = shades(rows, share=share)
        label = f"{title} of {len(names)} layers at {len(there)} readings: {what}"
        svg = heat(names, there, rows, label=label, what=what, share=share) if there else None
        if svg is not None and shaded is not None:
            low, high = shaded[1]
            missing = any(shade is None for row in shaded[0] for shade in row)
            found.append(
                Heat(
                    title=title,
                    what=what,
                    low=number(low, 3),
                    high=number(high, 3),
                    missing=missing,
                    scale="even" if share else "logarithmic",
                    svg=svg,
                )
            )
    return found


def losses(
    training: Mapping[str, Any], title: str = "Losses, evaluated on the same rows"
) -> list[tuple[str, str, list[str]]]:
    """Returns charts of a watched training's losses and of its learning rate: title, picture, tones."""
    try:
        readings = training["readings"]
        lines = [
            _line(readings, "train_loss", "first", "rows that train"),
            _line(readings, "valid_loss", "second", "rows to validate on"),
        ]
        rate = [_line(readings, "rate", "strong", "learning rate")]
    except (LookupError, TypeError, ValueError):
        return []
    drawn = []
    for name, wanted in ((title, lines), ("Learning rate", rate)):
        there = [line for line in wanted if len(line.points) > 1]
        if not there:
            continue
        ys = [y for line in there for _, y in line.points]
        xs = [x for line in there for x, _ in line.points]
        low, high = min(ys), max(ys)
        pad = 0.04 * (high - low) or 0.05 * abs(high) or 0.5
        axes = (
            Axis(low=min(xs), high=max(xs), title="step"), Axis(low=low - pad, high=high + pad),
        )  # fmt: skip
        label = f"{name} over {max(xs):,.0f} steps"
        drawn.append((name, drawing.lines(there, axes, label=label),
                      [line.tone for line in there]))  # fmt: skip
    return drawn


def _line(readings: Sequence[Mapping[str, Any]], key: str, tone: str, text: str) -> Line:
    points = [
        (float(each["step"]), float(each[key]))
        for each in readings
        if each[key] is not None and math.isfinite(float(each[key]))
    ]
    return Line(points=points, tone=tone, text=clean(text))
