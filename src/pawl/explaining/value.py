"""What all values of `explain.json` share, and the checks among them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

Interval = tuple[float, float]


class Value(BaseModel):
    """Base of what `explain.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(Value):
    """A test of an explanation; one that fails is shown in place of the explanation's picture.

    `value` is what was measured, NaN-free; `text` says it, with what is demanded.
    """

    name: str
    value: float | None
    passed: bool
    text: str
