"""Compression: smaller and faster bundles, each step measured and shown to lose little."""

from pawl.compression.face import compress
from pawl.compression.judging import Judge, Judged
from pawl.compression.keeping import CLAIM, NEAREST, keep_within
from pawl.compression.result import Compressed, Measured, StepRecord

__all__ = [
    "CLAIM",
    "NEAREST",
    "Compressed",
    "Judge",
    "Judged",
    "Measured",
    "StepRecord",
    "compress",
    "keep_within",
]
