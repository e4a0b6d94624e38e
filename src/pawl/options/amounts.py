"""Amounts as people write them: a loss, a time of a call, a size."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pawl.errors import TaskError, option

_WRITTEN = re.compile(r"([-+]?\d*\.?\d+(?:e[-+]?\d+)?)\s*([a-zµ%]*)")
_MS: Mapping[str, float] = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_BYTES: Mapping[str, float] = {
    "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30,
}  # fmt: skip


@dataclass(frozen=True)
class MaxLoss:
    """How much worse a metric may become.

    Attributes:
        amount: Above 0; in the metric's units, or as a share.
        relative: Whether it is a share of what the original scores (of its absolute value).
    """

    amount: float
    relative: bool

    def margin(self, value: float) -> float:
        """Returns it in the metric's units, where the original scores `value`."""
        return self.amount * abs(value) if self.relative else self.amount

    def __str__(self) -> str:
        return f"{100 * self.amount:g}%" if self.relative else f"{self.amount:g}"


def max_loss(name: str, given: Any) -> MaxLoss:
    """Reads `"0.5%"` (of what the original scores) or `0.005` (in the metric's units).

    Raises:
        TaskError: It is neither, or not above 0: that nothing at all is lost, no rows can show.
    """
    amount, unit = _read(given)
    allowed = "give a share of the metric such as 0.5%, or an amount in its units such as 0.005"
    if amount is None or unit not in ("", "%"):
        raise TaskError(f"got {option(name, given)}; {allowed}")
    if amount <= 0:
        raise TaskError(
            f"got {option(name, given)}; it must be above 0, since no number of rows can show that "
            f"nothing at all is lost: {allowed}"
        )
    if unit and amount >= 100:
        raise TaskError(f"got {option(name, given)}; it must be below 100%: {allowed}")
    return MaxLoss(amount / 100 if unit else amount, relative=bool(unit))


def milliseconds(name: str, given: Any) -> float:
    """Reads `"2ms"`, `"500us"`, `"0.1s"`, or a number of milliseconds.

    Raises:
        TaskError: It is none of these, or not above 0.
    """
    return _positive(name, given, _MS, "ms", "2ms or 500us")


def size_bytes(name: str, given: Any) -> int:
    """Reads `"1MB"`, `"500kB"`, `"2MiB"`, or a number of bytes.

    Raises:
        TaskError: It is none of these, or less than one byte.
    """
    return math.floor(_positive(name, given, _BYTES, "b", "1MB or 500kB", least=1))


def _positive(
    name: str, given: Any, units: Mapping[str, float], bare: str, example: str, least: float = 0
) -> float:
    amount, unit = _read(given)
    factor = units.get(unit or bare)
    if amount is None or factor is None:
        raise TaskError(f"got {option(name, given)}; write it as {example}")
    if amount <= 0 or amount * factor < least:
        raise TaskError(f"got {option(name, given)}; it must be above zero, such as {example}")
    return amount * factor


def _read(given: Any) -> tuple[float | None, str]:
    """Returns number and unit; no number if it is none."""
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        return None, ""
    found = _WRITTEN.fullmatch(str(given).strip().lower())
    amount = float(found[1]) if found else math.nan
    return (amount, found[2]) if found and math.isfinite(amount) else (None, "")
