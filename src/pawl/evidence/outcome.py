"""What a campaign found."""

from __future__ import annotations

from dataclasses import dataclass

from pawl.evidence.confirmation import Confirmation
from pawl.evidence.coverage import Coverage
from pawl.evidence.final import FinalTest
from pawl.options import Deliver
from pawl.recipe import Recipe


@dataclass(frozen=True)
class CampaignOutcome:
    """What a campaign found: the recipe to beat, what was shown, and what the test rows say.

    `deliver` is what the bundle was allowed to hold; `coverage` what its predictions come with, if that
    was asked for.
    """

    baseline: Recipe
    confirmation: Confirmation
    test: FinalTest
    deliver: Deliver = "likely"
    coverage: Coverage | None = None
