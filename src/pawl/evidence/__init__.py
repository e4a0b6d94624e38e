"""What a difference is worth: paired tests, looks, corrections, verdicts, the final test."""

from pawl.evidence.arms import (
    Arm,
    Blend,
    Single,
    Stacked,
    Training,
    arm_of,
    from_dict,
    lead,
    to_toml,
)
from pawl.evidence.confirmation import Confirmation, ConfirmationEffort, confirm
from pawl.evidence.coverage import Coverage, Held, held, limits_of
from pawl.evidence.crossed import HoldoutScore, crossed, holdout_score
from pawl.evidence.delivering import (
    LIKELY_ENOUGH,
    delivers,
    likelihood,
)
from pawl.evidence.final import FinalTest, final_test
from pawl.evidence.gain import TestGain, gain_on_test
from pawl.evidence.looks import sequential_p, spending
from pawl.evidence.members import best_alone
from pawl.evidence.outcome import CampaignOutcome
from pawl.evidence.pairs import Pairs
from pawl.evidence.selection import behind, race
from pawl.evidence.sequential import LOOKS, look_by_look
from pawl.evidence.settling import pairs_to_settle
from pawl.evidence.tests import (
    ALPHA,
    Comparison,
    holm,
    non_inferior,
)
from pawl.evidence.verdicts import Verdict

__all__ = [
    "ALPHA",
    "LIKELY_ENOUGH",
    "LOOKS",
    "Arm",
    "Blend",
    "CampaignOutcome",
    "Comparison",
    "Confirmation",
    "ConfirmationEffort",
    "Coverage",
    "FinalTest",
    "Held",
    "HoldoutScore",
    "Pairs",
    "Single",
    "Stacked",
    "TestGain",
    "Training",
    "Verdict",
    "arm_of",
    "behind",
    "best_alone",
    "confirm",
    "crossed",
    "delivers",
    "final_test",
    "from_dict",
    "gain_on_test",
    "held",
    "holdout_score",
    "holm",
    "lead",
    "likelihood",
    "limits_of",
    "look_by_look",
    "non_inferior",
    "pairs_to_settle",
    "race",
    "sequential_p",
    "spending",
    "to_toml",
]
