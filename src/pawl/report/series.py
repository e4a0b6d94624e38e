"""Trials and curves as the finite, bounded rows that a chart can hold.

A page has to stay light in a browser whatever the search did, and one diverged trial must not
flatten the others: points are thinned evenly and the scale leaves far outliers at its edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles
from typing import Any, Literal, TypeVar

from pawl.report.records import CurvePoint, TrialPoint
from pawl.report.text import finite

MAX_DOTS = 1500
MAX_STEPS = 120
_FAR = 3.0
_LOG_FROM = 30.0
_LOST = frozenset({"diverged", "failed", "infeasible"})

T = TypeVar("T")
Direction = Literal["maximize", "minimize"]
Field = Literal["train_loss", "valid_score"]


@dataclass(frozen=True, kw_only=True)
class Search:
    """Rows (`number`, `score`, `kind`) with the ranges of both axes.

    `outside` counts the scores that are drawn at the edge, since they lie beyond it.
    """

    data: list[dict[str, Any]]
    numbers: tuple[float, float]
    domain: tuple[float, float]
    outside: int


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Rows (`step`, `value`, `tone`, `line`, `mean`) with the range of the values.

    `axis` names the steps, and `reach` is their range if it is not that of the rows; a value that is
    `held` lasts until the next one of its line.
    """

    data: list[dict[str, Any]]
    domain: tuple[float, float]
    logarithmic: bool = False
    axis: str = "step"
    reach: tuple[float, float] | None = None
    held: bool = False


def search(trials: Sequence[TrialPoint], direction: Direction) -> Search | None:
    """Returns what the history chart shows; `None` where no trial has a score."""
    ordered = sorted(trials, key=lambda trial: trial.number)
    scored = [t for t in ordered if finite(t.score) and t.status not in _LOST]
    if not scored:
        return None
    domain = domain_of([t.score for t in scored if t.score is not None], direction)
    rows: list[dict[str, Any]] = []
    for trial in _thin(ordered, MAX_DOTS):
        if trial.status in _LOST:
            rows.append({"number": trial.number, "score": None, "kind": "failed"})
        elif finite(trial.score):
            kind = "completed" if trial.status == "completed" else "pruned"
            score = _within(trial.score, domain)
            rows.append({"number": trial.number, "score": score, "kind": kind})
    rows += [
        {"number": number, "score": _within(score, domain), "kind": "best"}
        for number, score in running_best(ordered, direction)
    ]
    outside = sum(t.score != _within(t.score, domain) for t in scored)
    numbers = (float(ordered[0].number), float(max(ordered[-1].number, ordered[0].number + 1)))
    return Search(data=rows, numbers=numbers, domain=domain, outside=outside)


def running_best(trials: Sequence[TrialPoint], direction: Direction) -> list[tuple[int, float]]:
    """Returns (trial, score) at each new best of the completed trials, and at the last trial."""
    sign = 1.0 if direction == "maximize" else -1.0
    steps: list[tuple[int, float]] = []
    for trial in trials:
        if trial.status != "completed" or trial.score is None or not math.isfinite(trial.score):
            continue
        if not steps or sign * trial.score > sign * steps[-1][1]:
            steps.append((trial.number, trial.score))
    if steps and trials[-1].number > steps[-1][0]:
        steps.append((trials[-1].number, steps[-1][1]))
    return steps


def lines(
    curves: Sequence[CurvePoint], field: Field, final_tone: str, direction: Direction
) -> Lines | None:
    """Returns one line per seed and the mean of each arm at the steps that all its seeds reached.

    A mean over the seeds that are still training would jump where one stops early.
    """
    by_line: dict[tuple[str, int], dict[int, float]] = {}
    for point in curves:
        value = getattr(point, field)
        if finite(value):
            by_line.setdefault((point.arm, point.seed), {})[point.step] = value
    if not by_line:
        return None
    rows: list[dict[str, Any]] = []
    for arm in ("baseline", "final"):
        seeds = {key: line for key, line in by_line.items() if key[0] == arm}
        tone = "baseline" if arm == "baseline" else final_tone
        for (_, seed), line in seeds.items():
            rows += _line(line, tone, f"{arm} {seed}", mean=False)
        if seeds:
            shared = set.intersection(*(set(line) for line in seeds.values()))
            mean = {step: fmean(line[step] for line in seeds.values()) for step in shared}
            rows += _line(mean, tone, f"{arm} mean", mean=True)
    values = [row["value"] for row in rows]
    low, high = min(values), max(values)
    logarithmic = field == "train_loss" and low > 0 and high / low > _LOG_FROM
    domain = (
        (low, high if high > low else low + 1.0) if logarithmic else domain_of(values, direction)
    )
    return Lines(data=rows, domain=domain, logarithmic=logarithmic)


def axis_values(domain: tuple[float, float]) -> list[float]:
    """Returns the powers of ten (and, where they are few, their halves) inside `domain`."""
    low, high = (math.log10(end) for end in domain)
    powers = range(math.floor(low), math.ceil(high) + 1)
    factors = (1,) if high - low > 3 else (1, 3)
    ticks = (factor * 10.0**power for power in powers for factor in factors)
    return [tick for tick in ticks if domain[0] <= tick <= domain[1]]


def last_points(curves: Sequence[CurvePoint]) -> list[CurvePoint]:
    """Returns the last measurement of each seed of each arm, the baseline first."""
    last: dict[tuple[str, int], CurvePoint] = {}
    for point in curves:
        key = (point.arm, point.seed)
        if key not in last or point.step > last[key].step:
            last[key] = point
    return [last[key] for key in sorted(last)]


def _line(line: dict[int, float], tone: str, name: str, *, mean: bool) -> list[dict[str, Any]]:
    return [
        {"step": step, "value": line[step], "tone": tone, "line": name, "mean": mean}
        for step in _thin(sorted(line), MAX_STEPS)
    ]


def _thin(items: Sequence[T], limit: int) -> list[T]:
    if len(items) <= limit:
        return list(items)
    return [items[round(i * (len(items) - 1) / (limit - 1))] for i in range(limit)]


def domain_of(values: Sequence[float], direction: Direction) -> tuple[float, float]:
    """The range of `values`, cut on the worse side three interquartile ranges from the quartile."""
    low, high = min(values), max(values)
    if len(values) >= 8:
        first, _, third = quantiles(values, n=4)
        spread = _FAR * (third - first)
        if spread > 0 and direction == "maximize":
            low = max(low, first - spread)
        elif spread > 0:
            high = min(high, third + spread)
    if high <= low:
        pad = abs(low) * 0.05 or 0.5
        return (low - pad, high + pad)
    return (low, high)


def _within(value: float | None, domain: tuple[float, float]) -> float | None:
    return None if value is None else max(domain[0], min(domain[1], value))
