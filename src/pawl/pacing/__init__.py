"""How a campaign shares its budget: length of a trial, size of the search, depth of the evidence.

With a budget in seconds, sizes follow from timings and are written to the ledger as decisions. With a
number of trials they follow from rules alone.
"""

from pawl.pacing.end import aside, copies, reporting
from pawl.pacing.extending import extension
from pawl.pacing.length import lengthened, of_length, passes_of
from pawl.pacing.proof import (
    ConfirmationPlan,
    comparable,
    floor,
    more_seeds,
    plan_confirmation,
    rows_at_end,
    seeds,
    shortest,
)
from pawl.pacing.racing import BLENDED, RacePlan, finalists
from pawl.pacing.sizes import Pace, affordable, is_few, natural_epochs, pace, tuned

__all__ = [
    "BLENDED",
    "ConfirmationPlan",
    "Pace",
    "RacePlan",
    "affordable",
    "aside",
    "comparable",
    "copies",
    "extension",
    "finalists",
    "floor",
    "is_few",
    "lengthened",
    "more_seeds",
    "natural_epochs",
    "of_length",
    "pace",
    "passes_of",
    "plan_confirmation",
    "reporting",
    "rows_at_end",
    "seeds",
    "shortest",
    "tuned",
]
