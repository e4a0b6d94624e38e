"""What sections are made of: tables, figures, and an effect as cells or as a row of a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pawl.report.charts import Drawing, Row, Tone
from pawl.report.summary import Effect
from pawl.report.text import finite, interval_text, number, p_text, places


@dataclass(frozen=True, kw_only=True)
class Table:
    """Column heads and rows of text; `note` says what was left out."""

    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart with its heading, its legend (tone, text) and the same numbers as a table."""

    title: str
    caption: str
    drawing: Drawing
    table: Table
    legend: Sequence[tuple[str, str]] = field(default_factory=list)
    half: bool = False


def effect_row(label: str, effect: Effect, tone: Tone, *, new_group: bool = False) -> Row:
    """Returns an effect as a row of a forest plot."""
    value, span, _, _ = effect_cells(effect)
    return Row(
        label=label,
        value=effect.value,
        interval=effect.interval,
        tone=tone,
        note=f"{value}  ({span})",
        new_group=new_group,
    )


def effect_cells(effect: Effect) -> tuple[str, str, str, str]:
    """Returns an effect's value, interval, p-value and number of pairs as text."""
    digits = places(effect.interval, effect.value)
    value = number(effect.value, digits, signed=True)
    span = interval_text(effect.interval, digits, signed=True)
    return value, span, p_text(effect.p_value), str(effect.n)


def drawable(value: float, interval: tuple[float, float]) -> bool:
    """Tells whether a value and its interval can be drawn."""
    return finite(value) and finite(interval[0]) and finite(interval[1])
