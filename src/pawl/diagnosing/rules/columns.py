"""Rules on columns: what tells nothing, what tells too much, what is far out, what has drifted."""

from __future__ import annotations

from collections.abc import Sequence

from pawl.data.types import list_names
from pawl.diagnosing.facts import ColumnFacts, DataFacts
from pawl.diagnosing.finding import Finding

_ALONE, _OTHERS = 0.95, 0.8
_FEW_LEAKS = 0.1
_FAR = 8.0
_MOST_OUTER, _FEW = 0.005, 3
_BY_CHANCE = 0.1
_DRIFT, _DRIFT_P = 0.1, 1e-4


def constant_columns(data: DataFacts) -> Finding | None:
    """Columns that have the same value in every row."""
    found = [column for column in data.columns if column.distinct < 2]
    if not found:
        return None
    return Finding(
        rule="constant_columns",
        severity="info",
        evidence=f"{_said(found)} never change{_s(found)}: nothing is learned of {_it(found)}",
        strength=2.0,
        advice=_leave_out(found),
    )


def duplicate_columns(data: DataFacts) -> Finding | None:
    """Columns that are copies of others, up to scale and shift; categories up to their names."""
    found = [column for column in data.columns if column.copy_of]
    if not found:
        return None
    first = found[0]
    return Finding(
        rule="duplicate_columns",
        severity="info",
        evidence=f"{_said(found)} say{_s(found)} what another column says ({first.name!r} what "
        f"{first.copy_of!r} does)",
        strength=2.0,
        advice=_leave_out(found),
    )


def identifier_columns(data: DataFacts) -> Finding | None:
    """Columns that number the rows: a model may learn in which order rows were collected."""
    found = [column for column in data.columns if column.counts_up]
    if not found:
        return None
    return Finding(
        rule="identifier_columns",
        severity="warning",
        evidence=f"{_said(found)} hold{_s(found)} a different whole number in each row, like an "
        "identifier or a row number: what is learned of it does not hold for new rows",
        strength=2.0,
        advice=_leave_out(found),
    )


def target_leakage(data: DataFacts) -> Finding | None:
    """A column or two that predict the target nearly perfectly while the others are far from it."""
    ranked = sorted(data.columns, key=lambda column: -column.predicts)
    found = [column for column in ranked if column.predicts >= _ALONE]
    rest = [column.predicts for column in ranked if column.predicts < _ALONE]
    few = len(found) <= max(2, _FEW_LEAKS * len(ranked))
    if not found or not few or (rest and rest[0] > _OTHERS):
        return None
    best = rest[0] if rest else 0.0
    return Finding(
        rule="target_leakage",
        severity="critical",
        evidence=f"{_said(found)} alone explain{_s(found)} {found[0].predicts:.1%} of the target "
        f"(the best other column {best:.0%}): check that it is known when predictions are made",
        strength=(1.0 - _ALONE) / max(1.0 - found[0].predicts, 1e-9),
        advice=_leave_out(found),
    )


def outliers(data: DataFacts) -> Finding | None:
    """Columns with a few values many times as far out as 99.5% of them are, which no long tail explains.

    Of many columns with tails like powers one in ten would be told of, not each tenth.
    """
    found = [
        column
        for column in data.columns
        if column.extreme >= _FAR
        and column.outer <= max(_FEW, _MOST_OUTER * data.looked)
        and column.by_chance <= _BY_CHANCE / len(data.columns)
    ]
    if not found:
        return None
    worst = max(found, key=lambda column: column.extreme)
    return Finding(
        rule="outliers",
        severity="warning",
        evidence=f"{_said(found)} ha{'s' if len(found) == 1 else 've'} values far out: in "
        f"{worst.name!r} up to {worst.extreme:.0f} times as far from the median as 99.5% of the values",
        strength=worst.extreme / _FAR,
        suggests=("robust_scale", "quantile_normal", "power_transform"),
    )


def train_test_drift(data: DataFacts) -> Finding | None:
    """Columns whose values are distributed otherwise in the test rows."""
    limit = _DRIFT_P / max(1, len(data.columns))
    found = [c for c in data.columns if c.drift >= _DRIFT and c.drift_p <= limit]
    if not found:
        return None
    worst = max(found, key=lambda column: column.drift)
    return Finding(
        rule="train_test_drift",
        severity="warning",
        evidence=f"{_said(found)} {'is' if len(found) == 1 else 'are'} distributed otherwise in the "
        f"test rows: in {worst.name!r} the distribution functions differ by up to {worst.drift:.2f} "
        f"(p = {max(worst.drift_p, 1e-99):.1g}, before correction for {len(data.columns)} columns)",
        strength=worst.drift / _DRIFT,
        advice="rows to train on that resemble the rows to predict",
    )


def _said(found: Sequence[ColumnFacts]) -> str:
    return f"column{_plural(found)} {list_names([column.name for column in found], 5)}"


def _plural(found: Sequence[ColumnFacts]) -> str:
    return "" if len(found) == 1 else "s"


def _s(found: Sequence[ColumnFacts]) -> str:
    return "s" if len(found) == 1 else ""


def _it(found: Sequence[ColumnFacts]) -> str:
    return "it" if len(found) == 1 else "them"


def _leave_out(found: Sequence[ColumnFacts]) -> str:
    return f"leave {_it(found)} out (the option ignore)"


RULES = (
    constant_columns,
    duplicate_columns,
    identifier_columns,
    target_leakage,
    outliers,
    train_test_drift,
)
