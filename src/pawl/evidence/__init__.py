"""What a difference is worth: paired tests, sequential looks, corrections, verdicts, the final test."""

from pawl.evidence.confirmation import Confirmation, Effort, Verdict, confirm, race
from pawl.evidence.final import FinalTest, final_test
from pawl.evidence.pairs import Pairs
from pawl.evidence.tests import (
    ALPHA,
    Comparison,
    TestGain,
    corrected_t,
    gain_on_test,
    holm,
    non_inferior,
    sequential_p,
    spending,
)

__all__ = [
    "ALPHA",
    "Comparison",
    "Confirmation",
    "Effort",
    "FinalTest",
    "Pairs",
    "TestGain",
    "Verdict",
    "confirm",
    "corrected_t",
    "final_test",
    "gain_on_test",
    "holm",
    "non_inferior",
    "race",
    "sequential_p",
    "spending",
]
