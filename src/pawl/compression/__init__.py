"""Compression: smaller and faster bundles, each step measured and shown to lose little."""

from pawl.compression.face import compress
from pawl.compression.judging import Judge, Judged
from pawl.compression.result import Compressed, Measured, StepRecord

__all__ = ["Compressed", "Judge", "Judged", "Measured", "StepRecord", "compress"]
