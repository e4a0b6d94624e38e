"""What is wrong with data and training: instruments, and rules on what they show."""

from pawl.diagnosing.diagnosis import Diagnosis, diagnosed, in_campaign, recorded, suggested
from pawl.diagnosing.finding import Finding
from pawl.diagnosing.mending import mended
from pawl.diagnosing.record import Reading, Training

__all__ = [
    "Diagnosis",
    "Finding",
    "Reading",
    "Training",
    "diagnosed",
    "in_campaign",
    "mended",
    "recorded",
    "suggested",
]
