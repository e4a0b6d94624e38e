"""Settings that change while a member trains: which may, and what they are at a share of the trial."""

from __future__ import annotations

from collections.abc import Sequence

from pawl.techniques.bounds import bounds
from pawl.techniques.record import Stage, Technique

SCHEDULE = "settings_schedule"
_CHANGING = (
    Stage.MODEL, Stage.BATCH, Stage.LOSS, Stage.GRADIENT, Stage.UPDATE, Stage.WEIGHTS,
)  # fmt: skip
"""Stages whose memberwise settings act at each step: those of data are used once, those of a schedule
span the trial."""

Changes = Sequence[tuple[float, str, float]]
"""Share of the trial, `technique.setting`, and the factor on its value from then on."""


def changeable(t: Technique) -> frozenset[str]:
    """Returns the settings of a technique that may change while a member trains: numbers of its own."""
    if t.stage not in _CHANGING:
        return frozenset()
    fields = t.settings.model_fields
    return frozenset(key for key in t.memberwise if fields[key].annotation is float)


def factor_at(changes: Changes, name: str, share: float) -> float:
    """Returns a setting's factor at a share of the trial: that of the latest change.

    Example:
        >>> changes = [(0.25, "adamw.learning_rate", 0.8), (0.5, "adamw.learning_rate", 0.64)]
        >>> [factor_at(changes, "adamw.learning_rate", at) for at in (0.0, 0.25, 0.7)]
        [1.0, 0.8, 0.64]
    """
    own = [(at, factor) for at, each, factor in changes if each == name and at <= share + 1e-9]
    return max(own)[1] if own else 1.0


def bounded(t: Technique, key: str, value: float) -> float:
    """Returns a value moved into its setting's range."""
    low, high = bounds(t.settings.model_fields[key])
    value = value if low is None else max(low, value)
    return value if high is None else min(high, value)
