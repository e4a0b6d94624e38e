"""How the report writes numbers and names.

A number shows as many digits as its interval supports: two significant digits of the half-width.
Anything that is missing or not finite is a dash, so that no `None` or `nan` reaches a reader.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

DASH = "\u2013"
MINUS = "\u2212"
TIMES = "\u00d7"
ARROW = "\u2192"

_MAX_PLACES = 6
_SMALLEST_P = 0.0001
_P_PLACES = ((0.1, 2), (0.001, 3), (0.0, 4))
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_METRICS = {
    "accuracy": "accuracy",
    "auc": "AUC",
    "average_precision": "average precision",
    "balanced_accuracy": "balanced accuracy",
    "brier": "Brier score",
    "f1": "F1",
    "f1_macro": "macro F1",
    "log_loss": "log loss",
    "mae": "MAE",
    "mape": "MAPE",
    "mcc": "MCC",
    "mse": "MSE",
    "pr_auc": "PR AUC",
    "r2": "R\u00b2",
    "rmse": "RMSE",
    "roc_auc": "ROC AUC",
}


def clean(text: str) -> str:
    """Returns `text` without the characters that XML forbids, which would void a chart."""
    return _FORBIDDEN.sub("", text)


def humanize(name: str) -> str:
    """Returns a registered name as words: `label_smoothing` becomes `label smoothing`."""
    return clean(name).replace("_", " ").strip() or "unnamed"


def metric_name(metric: str) -> str:
    """Returns the usual spelling of a metric's name."""
    return _METRICS.get(metric.lower(), humanize(metric))


def capital(text: str) -> str:
    """Returns `text` with its first letter in upper case and the rest as it is."""
    return text[:1].upper() + text[1:]


UNBOUNDED = 1e300
"""What stands for an end of an interval that has none, as JSON holds no infinity."""
_NO_ENDS = "unbounded"


def finite(value: float | None) -> bool:
    """Returns whether `value` is there and finite; ±1e300 stands for an end that there is none."""
    return value is not None and abs(value) < UNBOUNDED


def places(interval: tuple[float, float] | None, value: float | None = None) -> int:
    """Returns the decimals that `interval` supports; without width, three digits of `value`."""
    if interval is not None and finite(interval[0]) and finite(interval[1]):
        half = abs(interval[1] - interval[0]) / 2
        if half > 0:
            return _clamp(1 - math.floor(math.log10(half)))
    if value is None or not math.isfinite(value) or value == 0:
        return 3
    return _clamp(2 - math.floor(math.log10(abs(value))))


def number(value: float | None, decimals: int | None = None, *, signed: bool = False) -> str:
    """Returns `value` with `decimals` (by default three significant digits) and a true minus."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{abs(value):,.{places(None, value) if decimals is None else decimals}f}"
    if not any(c in "123456789" for c in text):
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def interval_text(
    interval: tuple[float, float] | None, decimals: int | None = None, *, signed: bool = False
) -> str:
    """Returns `low to high`, or that there are no such ends."""
    if interval is None or any(map(math.isnan, interval)):
        return DASH
    if not (finite(interval[0]) and finite(interval[1])):
        return _NO_ENDS
    digits = places(interval) if decimals is None else decimals
    low, high = (number(end, digits, signed=signed) for end in interval)
    return f"{low} to {high}"


def p_text(p: float | None) -> str:
    """Returns a p-value with two to four decimals, never as zero."""
    if p is None or not math.isfinite(p):
        return DASH
    if p < _SMALLEST_P:
        return f"< {_SMALLEST_P}"
    return number(p, next(decimals for floor, decimals in _P_PLACES if p >= floor))


def p_phrase(p: float | None) -> str:
    """Returns `p = 0.012` or `p < 0.0001`."""
    text = p_text(p)
    phrase = f"p {text}" if text.startswith("<") else f"p = {text}"
    return phrase.replace(" ", "\u00a0")


def percent(share: float | None) -> str:
    """Returns a chance as a whole number of percent, never as none or as certain."""
    if share is None or not math.isfinite(share):
        return DASH
    if share < 0.01:
        return "under 1%"
    return "over 99%" if share > 0.99 else f"{100 * share:.0f}%"


def count(value: float, one: str, many: str | None = None) -> str:
    """Returns `1 row` or `1,200 rows`."""
    return f"{value:,.0f} {one if value == 1 else many or one + 's'}"


def duration(seconds: float | None) -> str:
    """Returns seconds in the units that a person would use."""
    if seconds is None or not math.isfinite(seconds):
        return DASH
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{amount} {unit}" for amount, unit in parts if amount) or "0 s"


def size(num_bytes: float) -> str:
    """Returns bytes as kB, MB or GB (powers of 1000)."""
    if not math.isfinite(num_bytes):
        return DASH
    for unit in ("bytes", "kB", "MB"):
        if abs(num_bytes) < 1000:
            return f"{number(num_bytes, 0 if unit == 'bytes' else None)} {unit}"
        num_bytes /= 1000
    return f"{number(num_bytes)} GB"


def ratio(baseline: float, final: float, less: str, more: str) -> str:
    """Returns how `final` compares, for example `2.1x faster`; `less` is said when it is lower."""
    if not (finite(baseline) and finite(final)) or baseline <= 0 or final <= 0:
        return DASH
    if abs(final / baseline - 1) < 0.02:
        return "the same"
    factor, word = (baseline / final, less) if final < baseline else (final / baseline, more)
    # Below double, "1.1x" would round most of the difference away.
    shown = f"{factor:.2f}" if factor < 2 else f"{factor:,.1f}"
    return f"{shown}{TIMES} {word}"


def settings_text(settings: Mapping[str, Any]) -> str:
    """Returns `name value` pairs with floats cut to four significant digits."""
    return ", ".join(f"{humanize(key)} {_value(value)}" for key, value in settings.items())


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else DASH
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return DASH if value is None else clean(str(value))


def _clamp(decimals: int) -> int:
    return max(0, min(_MAX_PLACES, decimals))
