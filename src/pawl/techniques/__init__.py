"""Techniques: one module each, a pure function and its record, found by walking this package."""

from pawl.techniques.record import STAGES, Facts, Phase, Settings, Stage, Technique, number
from pawl.techniques.refusing import refusal
from pawl.techniques.registry import (
    excludes,
    ordered,
    register,
    technique,
    techniques,
    unregister,
)
from pawl.techniques.stages import (
    AVERAGE_INTERVAL,
    AverageTechnique,
    BatchTechnique,
    DataTechnique,
    FitTechnique,
    GradientTechnique,
    LossTechnique,
    LossTerm,
    ModelTechnique,
    ScheduleTechnique,
    StopTechnique,
    UpdateTechnique,
    zeros,
)
from pawl.techniques.values import Batch, FitRows, GradientContext, Split, StepContext, Targets

__all__ = [
    "AVERAGE_INTERVAL",
    "STAGES",
    "AverageTechnique",
    "Batch",
    "BatchTechnique",
    "DataTechnique",
    "Facts",
    "FitRows",
    "FitTechnique",
    "GradientContext",
    "GradientTechnique",
    "LossTechnique",
    "LossTerm",
    "ModelTechnique",
    "Phase",
    "ScheduleTechnique",
    "Settings",
    "Split",
    "Stage",
    "StepContext",
    "StopTechnique",
    "Targets",
    "Technique",
    "UpdateTechnique",
    "excludes",
    "number",
    "ordered",
    "refusal",
    "register",
    "technique",
    "techniques",
    "unregister",
    "zeros",
]
