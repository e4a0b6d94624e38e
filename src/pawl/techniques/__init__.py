"""Techniques: one module each, a pure function and its record, found by walking this package."""

from pawl.techniques.record import (
    AVERAGE_INTERVAL,
    STAGES,
    Batch,
    Facts,
    LossTerm,
    Settings,
    Split,
    Stage,
    Technique,
    number,
)
from pawl.techniques.registry import (
    excludes,
    ordered,
    register,
    technique,
    techniques,
    unregister,
)

__all__ = [
    "AVERAGE_INTERVAL",
    "STAGES",
    "Batch",
    "Facts",
    "LossTerm",
    "Settings",
    "Split",
    "Stage",
    "Technique",
    "excludes",
    "number",
    "ordered",
    "register",
    "technique",
    "techniques",
    "unregister",
]
