"""The verdict on one change: what was compared, at equal steps and at equal time, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pawl.evidence.arms import Single
from pawl.evidence.pairs import Pairs, forward_flops
from pawl.evidence.tests import ALPHA, Comparison
from pawl.execution import Session
from pawl.recipe import Change, Recipe

VerdictName = Literal["kept", "rejected", "unproven"]
_SLOWER = 1.1
_EQUAL_TIME_PAIRS = 5


@dataclass(frozen=True)
class Verdict:
    """The verdict on one change.

    Attributes:
        change: What differs from the baseline.
        recipe: The recipe that has it.
        verdict: See `pawl.report.summary.TechniqueSummary`.
        in_final: Whether the delivered recipe has it.
        comparison: With it against without it; `None` if not measured.
        p_value: Corrected for looks and comparisons; `None` if not measured.
        reason: In a sentence.
        equal_time: The comparison in which the recipe without it trains as long.
        cost_ratio: Training cost with it over without it.
    """

    change: Change
    recipe: Recipe
    verdict: VerdictName
    in_final: bool
    comparison: Comparison | None
    p_value: float | None
    reason: str
    equal_time: Comparison | None = None
    cost_ratio: float | None = None


def name_without(change: Change) -> str:
    """Returns the name of the arm without a change."""
    return f"without {change.name}"


def verdict_of(
    session: Session,
    pairs: Pairs,
    candidate: Recipe,
    change: Change,
    arms: Mapping[str, Recipe],
    adjusted: Mapping[str, float],
) -> Verdict:
    """Returns the verdict on a change of a candidate that is shown to beat the baseline.

    Args:
        session: The campaign's.
        pairs: The confirmation's trainings.
        candidate: The recipe.
        change: One of its differences from the baseline.
        arms: The recipes that it was compared with, by the arms' names.
        adjusted: Corrected p-values by the arms' names; a change that is not there was not compared.
    """
    name = name_without(change)
    if name not in adjusted or not pairs.of(arms[name]):
        reason = "not compared on its own within the budget"
        return Verdict(change, candidate, "unproven", True, None, None, reason)
    without = arms[name]
    comparison = pairs.compare(candidate, without)
    ratio = _cost_ratio(session, pairs, candidate, without)
    equal_time = _equal_time(session, pairs, candidate, without, change, ratio, comparison)
    unjudged = Verdict(change, candidate, "unproven", True, comparison, None, "", equal_time, ratio)
    return judged_by(unjudged, adjusted[name])


def judged_by(verdict: Verdict, p_value: float) -> Verdict:
    """Returns the verdict on a change that was compared that follows from a corrected p-value."""
    comparison = verdict.comparison
    assert comparison is not None
    name: VerdictName = "unproven"
    reason = f"no difference shown in {comparison.n} pairs; not shown to be dispensable either"
    if p_value <= ALPHA and comparison.effect > 0:
        name, reason = "kept", f"the recipe is worse without it ({comparison.n} pairs)"
    elif p_value <= ALPHA:
        name, reason = "rejected", f"the recipe is better without it ({comparison.n} pairs)"
    return replace(verdict, verdict=name, p_value=p_value, reason=reason)


def _cost_ratio(session: Session, pairs: Pairs, candidate: Recipe, without: Recipe) -> float | None:
    """Returns the candidate's training cost over that of the recipe without a change.

    Measured seconds per row where clocks may decide, else counted operations of the model.
    """
    if session.clock.timed:
        of = pairs.trainings
        mine, theirs = of.seconds_per_row(candidate), of.seconds_per_row(without)
        return None if not mine or not theirs else mine / theirs
    theirs_flops = forward_flops(session, without)
    return forward_flops(session, candidate) / theirs_flops if theirs_flops else None


def _equal_time(
    session: Session,
    pairs: Pairs,
    candidate: Recipe,
    without: Recipe,
    change: Change,
    ratio: float | None,
    comparison: Comparison,
) -> Comparison | None:
    """Compares again with the recipe without the change trained for as long as the candidate.

    A change that costs no more is at equal time what it is at equal steps. `None` where there is no
    time for it.
    """
    if ratio is None:
        return None
    if ratio < _SLOWER:
        return comparison

    def choose() -> float | None:
        need = _EQUAL_TIME_PAIRS * ratio * pairs.seconds(without)
        affordable = session.clock.left is None or session.clock.left - session.clock.reserve > need
        return round(ratio, 3) if affordable else None

    longer = session.ledger.decide(f"equal-time/{change.name}", choose)
    if longer is None:
        return None
    session.listener.phase("equal time", f"{name_without(change)}, {longer:.2f} times as long")
    count = min(_EQUAL_TIME_PAIRS, len(pairs.of(without)))
    arm = Single(without, longer)
    arms = {f"longer {name_without(change)}": arm}
    if not pairs.run(f"equal-time/{change.name}", arms, range(count)):
        return None
    return pairs.compare(candidate, arm)
