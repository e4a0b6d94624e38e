"""What values of `explain.json` are made of: intervals, and checks."""

from __future__ import annotations

from pawl.report.values import Value

Interval = tuple[float, float]


class Check(Value):
    """A test of an explanation; one that fails is shown in place of the explanation's picture.

    `value` is what was measured, NaN-free; `text` says it, with what is demanded.
    """

    name: str
    value: float | None
    passed: bool
    text: str
