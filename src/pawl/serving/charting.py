"""Charts of a campaign's trials: scores, settings, curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median, quantiles
from typing import Any, Literal

from pawl.explaining.agreement import rank_correlation
from pawl.report.series import domain_of
from pawl.report.text import count, finite, number
from pawl.serving import drawing
from pawl.serving.drawing import Axis, Dot, Line
from pawl.serving.reading import Curve, Known, Trial
from pawl.serving.telling import (
    SEARCHED,
    best_of,
    flat,
    metric,
    scored,
    setting_name,
    shared,
    told,
    tone,
    value_text,
)

Across = Literal["order", "time", "steps"]
ACROSS: dict[Across, str] = {"order": "in order", "time": "over time", "steps": "by steps"}
_LOG_FROM = 30.0
_MOST_THREADS, _MOST_AXES = 300, 7
MOST_DOTS, _BEST_DOTS = 1500, 300
_BEST_SHARE = 0.1
_FEW_SEEDS = 4
Points = Sequence[tuple[float, float]]


def searched(known: Known) -> list[Trial]:
    """Returns the trials of the search, those of learners included."""
    return [trial for trial in known.trials if trial.phase in SEARCHED]


def scores(known: Known, across: Across) -> tuple[str, str] | None:
    """Returns the search's scores as a wide and a narrow chart; `None` where there is no score yet."""
    trials, common = searched(known), shared(known.trials)
    there = scored(trials)
    if not there:
        return None
    direction: Literal["maximize", "minimize"] = "maximize" if known.maximize else "minimize"
    low, high = domain_of([t.score for t in there if t.score is not None], direction)
    top = best_of(trials, maximize=known.maximize)
    places = {t.id: _place(t, number, across) for number, t in enumerate(trials, start=1)}
    shown = trials if len(trials) <= MOST_DOTS else _chosen(trials, known)
    dots = [
        Dot(
            id=t.id, x=places[t.id], y=t.score if tone(t) != "failed" and finite(t.score) else None,
            tone="top" if top is not None and t.id == top.id else tone(t),
            text=told(t, known, common),
        )
        for t in shown
    ]  # fmt: skip
    ends = min(places.values()), max(places.values())
    titles = {"order": "trial of the search", "time": "campaign seconds", "steps": "steps trained"}
    pad = 0.03 * (high - low)
    axes = (
        Axis(low=ends[0], high=max(ends[1], ends[0] + 1e-9), title=titles[across]),
        Axis(low=low - pad, high=high + pad),
    )
    best = _best_so_far(trials, places, known.maximize) if across != "steps" else []
    label = f"{metric(known)} of {count(len(trials), 'trial')} {ACROSS[across]}"
    label += f"; the best is {number(top.score, 4)}" if top else ""
    wide, phone = (
        drawing.scatter(dots, best, axes, label=label, width=width)
        for width in (drawing.WIDE, drawing.PHONE)
    )
    return wide, phone


def _chosen(trials: Sequence[Trial], known: Known) -> list[Trial]:
    """Returns the best of very many trials, and others evenly: what a page can hold."""
    sign = 1.0 if known.maximize else -1.0
    best = sorted(scored(trials), key=lambda trial: -sign * (trial.score or 0.0))[:_BEST_DOTS]
    step = math.ceil(len(trials) / (MOST_DOTS - _BEST_DOTS))
    kept = {trial.id for trial in (*best, *trials[::step])}
    return [trial for trial in trials if trial.id in kept]


def _place(trial: Trial, number: int, across: Across) -> float:
    return {"order": float(number), "time": trial.ended, "steps": float(trial.steps)}[across]


def _best_so_far(trials: Sequence[Trial], places: Mapping[int, float], maximize: bool) -> Points:
    sign, steps = (1.0 if maximize else -1.0), list[tuple[float, float]]()
    for trial in trials:
        if tone(trial) != "completed" or trial.score is None or not finite(trial.score):
            continue
        if not steps or sign * trial.score > sign * steps[-1][1]:
            steps.append((places[trial.id], trial.score))
    if steps:
        steps.append((places[trials[-1].id], steps[-1][1]))
    return steps


def settings(known: Known) -> str | None:
    """Returns parallel coordinates of the settings that go most with the score; `None` for too few."""
    trials = scored(searched(known))
    networks = [t for t in trials if t.phase == "search"]
    if len(networks) < _FEW_SEEDS:
        return None
    sign = 1.0 if known.maximize else -1.0
    networks.sort(key=lambda trial: -sign * (trial.score or 0.0))
    networks = networks[:_MOST_THREADS]
    tables = [flat(trial.recipe) for trial in networks]
    values = [trial.score or 0.0 for trial in networks]
    found = [(name, _axis([table.get(name) for table in tables])) for name in _names(tables)]
    ranked = sorted(
        ((name, *axis) for name, axis in found if axis is not None),
        key=lambda each: -_agreement(each[1], values),
    )[:_MOST_AXES]
    if not ranked:
        return None
    low, high = domain_of(values, "maximize" if known.maximize else "minimize")
    last = Axis(low=low, high=high)
    axes = [(setting_name(name), ticks) for name, _, ticks in ranked]
    axes.append((metric(known), [(last.share(v), text) for v, text in last.ticks(5)]))
    best, common = max(1, round(_BEST_SHARE * len(networks))), shared(known.trials)
    rows = [
        (
            trial.id,
            "top" if at < best else "rest",
            told(trial, known, common),
            [*(places[at] for _, places, _ in ranked), last.share(values[at])],
        )
        for at, trial in enumerate(networks)
    ]
    names = ", ".join(name for name, _ in axes[:-1])
    return drawing.parallel(axes, rows[::-1], label=f"Settings of {len(rows)} trials: {names}")


def _names(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for table in tables for name in table))


def _axis(
    values: Sequence[Any],
) -> tuple[list[float | None], list[tuple[float, str]]] | None:
    """Returns where values lie on an axis, and its ticks; `None` where all are the same.

    A setting of a technique that a trial lacks has no place, unless that is all that differs.
    """
    there = [value for value in values if value is not None]
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in there):
        numbers = [float(value) for value in there]
        if len(set(numbers)) > 1 and all(map(math.isfinite, numbers)):
            low, high = min(numbers), max(numbers)
            axis = Axis(low=low, high=high, logarithmic=low > 0 and high / low > _LOG_FROM)
            ticks = [(axis.share(value), text) for value, text in axis.ticks(4)]
            return [None if v is None else axis.share(float(v)) for v in values], ticks
    known = sorted({value_text(value) for value in there})
    if len(known) == 1 and len(there) < len(values):
        return [float(v is not None) for v in values], [(0.0, "off"), (1.0, "on")]
    if not 1 < len(known) <= 8:
        return None
    at = {text: place / (len(known) - 1) for place, text in enumerate(known)}
    places = [None if value is None else at[value_text(value)] for value in values]
    return places, [(place, text) for text, place in at.items()]


def _agreement(places: Sequence[float | None], values: Sequence[float]) -> float:
    """Returns the rank correlation's size between places and scores, over those that have one."""
    pairs = [
        (place, value) for place, value in zip(places, values, strict=True) if place is not None
    ]
    if len(pairs) < max(_FEW_SEEDS, 0.4 * len(values)):
        return -1.0
    return abs(rank_correlation(*zip(*pairs, strict=True)))


def curves(
    sets: Sequence[tuple[str, str, Sequence[Curve]]], known: Known, *, width: int = drawing.HALF
) -> list[tuple[str, str, list[str]]]:
    """Returns charts of training loss and validation score over steps: heading, picture, its tones.

    Args:
        sets: Tone, name and curves of each line; of several curves the median is drawn, with a band.
        known: Whose campaign's.
        width: In pixels.
    """
    better = "higher" if known.maximize else "lower"
    wanted = ((1, "Training loss"), (2, f"Validation {metric(known)}, {better} is better"))
    drawn = []
    for column, title in wanted:
        made = [_line(tone_, name, several, column) for tone_, name, several in sets]
        there = [line for line in made if line is not None]
        if not there:
            continue
        values = [y for line in there for _, y in line.points]
        values += [end for line in there for _, *ends in line.band for end in ends]
        steps = [x for line in there for x, _ in line.points]
        low, high = min(values), max(values)
        logarithmic = column == 1 and low > 0 and high / low > _LOG_FROM
        pad = 0 if logarithmic else 0.04 * (high - low) or 0.05 * abs(high) or 0.5
        axes = (
            Axis(low=min(steps), high=max(steps), title="step"),
            Axis(low=low - pad, high=high + pad, logarithmic=logarithmic),
        )
        named = " and ".join(line.text for line in there)
        label = f"{title} over {max(steps):,.0f} steps: {named}"
        picture = drawing.lines(there, axes, label=label, width=width)
        drawn.append((title, picture, [line.tone for line in there]))
    return drawn


def _line(tone_: str, name: str, several: Sequence[Curve], column: int) -> Line | None:
    """Returns a curve, or the median over several with the band of the middle half of them.

    Evaluation by evaluation, over those that got so far; of fewer than four all lie in the band.
    """
    kept = [
        [(float(point[0]), value) for point in curve if finite(value := point[column])]
        for curve in several
    ]
    kept = [curve for curve in kept if len(curve) > 1]
    if not kept:
        return None
    points, band = list[tuple[float, float]](), list[tuple[float, float, float]]()
    for place in range(max(map(len, kept))):
        here = [curve[place] for curve in kept if len(curve) > place]
        ys = [float(y or 0.0) for _, y in here]
        points.append((median(x for x, _ in here), median(ys)))
        if len(kept) > 1:
            low, high = min(ys), max(ys)
            if len(ys) >= _FEW_SEEDS:
                low, _, high = quantiles(ys, n=4)
            band.append((points[-1][0], low, high))
    order = sorted(range(len(points)), key=lambda at: points[at][0])
    return Line(
        points=[points[at] for at in order], tone=tone_, text=name,
        band=[band[at] for at in order] if band else [],
    )  # fmt: skip
