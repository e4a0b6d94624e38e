"""What a campaign leaves for people: `summary.json` and the page `report.html`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pawl.report.page import render
    from pawl.report.records import CurvePoint, Report, TrialPoint
    from pawl.report.summary import (
        ArmSummary,
        ArmTrainings,
        CostSummary,
        Effect,
        EvidenceSummary,
        FindingSummary,
        GainSummary,
        Pair,
        Summary,
        TaskSummary,
        TechniqueSummary,
        TrialCounts,
        json_schema,
    )

__all__ = [
    "ArmSummary",
    "ArmTrainings",
    "CostSummary",
    "CurvePoint",
    "Effect",
    "EvidenceSummary",
    "FindingSummary",
    "GainSummary",
    "Pair",
    "Report",
    "Summary",
    "TaskSummary",
    "TechniqueSummary",
    "TrialCounts",
    "TrialPoint",
    "json_schema",
    "render",
]

_HOMES = {"render": "page", "CurvePoint": "records", "Report": "records", "TrialPoint": "records"}


def __getattr__(name: str) -> object:
    # On demand, so that `python -m pawl.report.summary` runs a module that is not loaded yet.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'summary')}"), name)
