"""What a difference is worth: paired tests, looks, corrections, verdicts, the final test."""

from pawl.evidence.confirmation import LOOKS, Confirmation, Effort, confirm, look_by_look
from pawl.evidence.crossed import Judged, crossed, judge
from pawl.evidence.final import FinalTest, final_test
from pawl.evidence.gain import TestGain, gain_on_test
from pawl.evidence.pairs import Pairs
from pawl.evidence.selection import race
from pawl.evidence.tests import (
    ALPHA,
    Comparison,
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
    "Judged",
    "Pairs",
    "TestGain",
    "Verdict",
    "confirm",
    "crossed",
    "final_test",
    "gain_on_test",
    "holm",
    "judge",
    "look_by_look",
    "non_inferior",
    "race",
    "sequential_p",
    "spending",
]
