"""Which recipe the bundle holds: another question than what is proven.

Whoever deploys a model wants the better one, shown to be or not; what is claimed needs proof. Both
look at fresh pairs on rows that nothing was chosen by, so neither is flattered by the search.
"""

from __future__ import annotations

from pawl.evidence.tests import Comparison
from pawl.options import Deliver

LIKELY_ENOUGH = 0.5
"""A recipe is delivered above this chance of being better; chosen by `benchmarks/deliver.py`."""


def likelihood(comparison: Comparison) -> float:
    """Returns the chance that the first arm is better, if all effects were as likely beforehand.

    `P(T <= effect / standard error)`, T with the comparison's degrees of freedom, on the scale of the
    test: one minus half of the two-sided p-value where the effect is positive. Equal arms, and arms of
    which one pair is all there is, give 0.5. Not corrected for looks: it is no error rate.
    """
    half = comparison.p_value / 2
    return 1.0 - half if comparison.effect > 0 else half


def delivers(headline: Comparison | None, *, proven: bool, deliver: Deliver) -> bool:
    """Tells whether the candidate goes into the bundle, in place of the baseline.

    Args:
        headline: Candidate against baseline on fresh pairs; `None` if there were none, and then the
            baseline stays.
        proven: Whether the candidate is shown to be better; then it always goes in.
        deliver: Whether likely is enough. At exactly `LIKELY_ENOUGH`, as of equal arms, the baseline
            stays.
    """
    if proven or headline is None or deliver == "proven":
        return proven
    return likelihood(headline) > LIKELY_ENOUGH
