"""What a rule finds: a fault, on what evidence, and what may mend it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["info", "warning", "critical"]
Confidence = Literal["likely", "clear"]
_CLEAR = 2.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A fault that a rule found.

    Attributes:
        rule: The rule's name.
        severity: `critical` (a model is worth little with it), `warning` (likely costs something) or
            `info` (to be known).
        evidence: What was measured, in words with numbers.
        strength: What was measured over the rule's limit: 1 is just enough.
        suggests: Names of techniques that may mend it, the most likely first.
        advice: What else may, in words; empty if nothing.
        tries: Settings of the first suggestion that what was measured speaks for; mostly none.

    Example:
        >>> Finding(rule="outliers", severity="warning", evidence="far", strength=3.0).confidence
        'clear'
    """

    rule: str
    severity: Severity
    evidence: str
    strength: float
    suggests: tuple[str, ...] = ()
    advice: str = ""
    tries: Mapping[str, float] = field(default_factory=dict)

    @property
    def confidence(self) -> Confidence:
        """`clear` from twice the limit on, else `likely`."""
        return "clear" if self.strength >= _CLEAR else "likely"

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON-ready values; `from_dict` reads it back."""
        told = dataclasses.asdict(self)
        return told | {"suggests": list(self.suggests), "strength": min(self.strength, 1e9)}

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Finding:
        """Returns what `to_dict` told of."""
        return cls(**{**known, "suggests": tuple(known["suggests"])})
