"""What a difference is worth: paired tests, looks, corrections, verdicts, the final test."""

from pawl.evidence.confirmation import LOOKS, Confirmation, Effort, confirm, look_by_look
from pawl.evidence.final import FinalTest, final_test
from pawl.evidence.gain import TestGain, gain_on_test
from pawl.evidence.pairs import Pairs
from pawl.evidence.selection import race
from pawl.evidence.tests import (
    ALPHA,
    Comparison,
    corrected_ratio_t,
    corrected_t,
    holm,
    non_inferior,
    sequential_p,
    spending,
)
from pawl.evidence.verdicts import Verdict

__all__ = [
    "ALPHA",
    "LOOKS",
    "Comparison",
    "Confirmation",
    "Effort",
    "FinalTest",
    "Pairs",
    "TestGain",
    "Verdict",
    "confirm",
    "corrected_ratio_t",
    "corrected_t",
    "final_test",
    "gain_on_test",
    "holm",
    "look_by_look",
    "non_inferior",
    "race",
    "sequential_p",
    "spending",
]
