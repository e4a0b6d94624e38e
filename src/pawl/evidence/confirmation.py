"""Confirmation: whether a recipe beats the baseline, and which of its changes are shown to help.

By repeated cross-validation over rows that nothing was chosen by, with fresh seeds, paired on fold
and seed: first the recipe against the baseline, at full alpha; then, if it is shown to be better,
the recipe against itself without each change, with Holm's correction among these. Gatekeeping of
this kind keeps the family-wise error (Westfall and Krishen 2001) and does not let many small changes
hide a large gain. Looks after 5, 10 and 20 pairs share alpha; see `looks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pawl.evidence.arms import Arm, Single, arm_of, lead
from pawl.evidence.delivering import delivers, likelihood
from pawl.evidence.dropping import without_harm
from pawl.evidence.members import Part, calibration, parts_of
from pawl.evidence.pairs import Pairs
from pawl.evidence.retuning import num_trainings, retuned
from pawl.evidence.selection import screen
from pawl.evidence.sequential import LOOKS, look_by_look
from pawl.evidence.settling import pairs_to_settle
from pawl.evidence.tests import ALPHA, Comparison, holm
from pawl.evidence.verdicts import Verdict, name_without, verdict_of
from pawl.execution import Session
from pawl.options import Deliver
from pawl.recipe import Change, Recipe

_UNJUDGED = (
    "its recipe is not shown to beat the baseline, so its changes were not judged one by one"
)


@dataclass(frozen=True)
class ConfirmationEffort:
    """What the confirmation may spend, decided before it starts.

    Attributes:
        screen: Whether to run backward elimination.
        looks: Numbers of pairs after which to look at the recipe against the baseline.
        per_pair: Seconds of a pair of models, as it was timed; 0 where nothing is.
    """

    screen: bool
    looks: tuple[int, ...]
    per_pair: float = 0.0


@dataclass(frozen=True)
class Confirmation:
    """The result: the recipe that the bundle is to hold, and what was shown.

    Attributes:
        delivered: The baseline, or what is better by `delivers`: a proven candidate, less what is
            shown to harm it, or one that is likely better.
        candidate: What was compared. Verdicts are on the changes of its leading recipe.
        proven: Whether it was shown to beat the baseline.
        headline: What is proven (the candidate if nothing is) against the baseline, on fresh pairs;
            `None` if there was no time.
        p_value: Of the headline, corrected.
        likelihood: That the headline's recipe is better; see `likelihood`. `None` without a headline.
        to_settle: How many pairs would show the headline's effect, if it is not proven; see
            `pairs_to_settle`.
        verdicts: One per change that was looked at.
        effort: What was planned.
        comparisons: How many comparisons were made.
        correlation: Between the headline's arms over pairs.
        retuned: Whether the ablations' learning rates were re-tuned.
        pairs: The trainings; the first ones' models are kept.
        members: Of a blend: what each of its recipes adds, and the blend to it. Not corrected for their
            number: they describe, and claim nothing.
        calibration: Of a blend that is tempered or shifted: it against itself without; described
            likewise.
    """

    delivered: Arm
    candidate: Arm
    proven: bool
    headline: Comparison | None
    p_value: float | None
    verdicts: tuple[Verdict, ...]
    effort: ConfirmationEffort
    comparisons: int
    correlation: float | None = None
    retuned: bool = False
    likelihood: float | None = None
    to_settle: float | None = None
    pairs: Pairs | None = None
    members: tuple[Part, ...] = ()
    calibration: Comparison | None = None


def confirm(
    session: Session,
    baseline: Recipe,
    candidate: Recipe | Arm,
    effort: ConfirmationEffort,
    deliver: Deliver = "likely",
    *,
    keep: int = 0,
) -> Confirmation:
    """Compares the candidate with the baseline and, if it is shown to be better, with its ablations.

    Of a blend, the ablations are those of its leading recipe, on its own.

    Args:
        session: The campaign's.
        baseline: The recipe to beat.
        candidate: What may beat it.
        effort: What may be spent.
        deliver: Whether the bundle may hold what is likely better, or only what is proven.
        keep: How many of the first pairs leave their models.
    """
    arm, leading = arm_of(candidate), lead(arm_of(candidate))
    screened: tuple[Verdict, ...] = ()
    networks = not (leading.learner or baseline.learner)
    if effort.screen and arm == Single(leading) and networks:
        leading, screened = screen(session, baseline, leading)
        arm = Single(leading)
    changes = leading.changes(baseline) if networks else ()
    differs = arm != Single(baseline)
    pairs = Pairs(session, "confirm", session.rows.parts[1], keep=keep)
    gate = {}
    if effort.looks and differs:
        gate = look_by_look(
            session, pairs, arm, {"baseline": baseline}, effort.looks, "headline",
            what="the candidate", per_pair=effort.per_pair,
        )  # fmt: skip
        if not pairs.of(arm):  # given up in the middle of the first look
            effort = replace(effort, looks=())
    if not effort.looks or not differs:
        unproven = _unproven(leading, changes, "not compared within the budget")
        return Confirmation(
            Single(baseline), arm, False, None, None, (*unproven, *screened), effort, 0
        )
    p_value, shown = gate["baseline"], arm
    proven = p_value <= ALPHA and pairs.compare(arm, baseline).effect > 0
    comparisons, verdicts = 0, list[Verdict]()
    if proven and changes:
        pairs.run("confirm/leading", {"leading": leading}, sorted(pairs.of(arm)))  # trained already
        arms, looks = _ablations(session, pairs, baseline, leading, changes)
        found = look_by_look(session, pairs, leading, arms, looks, "changes", what="its changes")
        corrected = holm(list(found.values()))
        adjusted = {n: max(p_value, p) for n, p in zip(found, corrected, strict=True)}
        verdicts = [verdict_of(session, pairs, leading, c, arms, adjusted) for c in changes]
        comparisons = len(found)
        if arm == Single(leading):
            dropped = without_harm(
                session, pairs, baseline, leading, arms, verdicts, found, p_value
            )  # fmt: skip
            shown, verdicts, comparisons = (
                Single(dropped.final), dropped.verdicts, dropped.comparisons,
            )  # fmt: skip
            # Better than the candidate, which is better than the baseline: shown if both are.
            p_value = max(p_value, dropped.p_value)
            if shown == Single(baseline):  # more pairs have turned what a few have shown
                proven, p_value, shown = False, 1.0, arm
    headline = pairs.compare(shown, baseline)
    delivered = shown if delivers(headline, proven=proven, deliver=deliver) else Single(baseline)
    if not verdicts:
        verdicts = _unproven(leading, changes, _UNJUDGED)
    present = {change.name for change in lead(delivered).changes(baseline)}
    verdicts = [replace(v, in_final=v.change.name in present) for v in verdicts]
    return Confirmation(
        delivered=delivered,
        candidate=arm,
        proven=proven,
        headline=headline,
        p_value=p_value,
        verdicts=(*verdicts, *screened),
        effort=effort,
        comparisons=1 + comparisons,
        correlation=pairs.correlation(shown, baseline),
        retuned=session.ledger.unit("retune") is not None,
        likelihood=likelihood(headline),
        to_settle=None if proven else pairs_to_settle(headline, pairs.folds),
        pairs=pairs,
        members=parts_of(pairs, arm),
        calibration=calibration(pairs, arm),
    )


def _unproven(candidate: Recipe, changes: Sequence[Change], reason: str) -> list[Verdict]:
    return [Verdict(c, candidate, "unproven", False, None, None, reason) for c in changes]


def _ablations(
    session: Session,
    pairs: Pairs,
    baseline: Recipe,
    candidate: Recipe,
    changes: Sequence[Change],
) -> tuple[dict[str, Recipe], tuple[int, ...]]:
    """Returns the recipes without one change each, as many as there is time for, and the looks.

    Added and swapped techniques come before changed settings. How many depends on the clock alone,
    not on results. Where nothing is timed, the pairs of the headline are used and no more.
    """
    ranked = sorted(changes, key=lambda change: change.kind == "changed")
    looks = LOOKS

    def choose() -> int:
        if session.clock.stopped:
            return 0
        if session.clock.left is None:
            return len(ranked)
        affordable = (session.clock.left - session.clock.reserve) / (
            looks[0] * pairs.seconds(candidate)
        )
        return max(0, min(len(ranked), int(affordable)))

    count = session.ledger.decide("confirm/changes", choose)
    if session.clock.left is None:
        looks = (len(pairs.of(candidate)),)
    arms = {name_without(c): candidate.revert(c, baseline) for c in ranked[:count]}

    def affordable() -> bool:
        if session.clock.left is None:
            return True
        trainings = num_trainings(len(arms)) + looks[0] * len(arms)
        return session.clock.left - session.clock.reserve > trainings * pairs.seconds(candidate)

    worthwhile = session.ledger.decide("confirm/retune", affordable)
    if arms and worthwhile:
        arms = retuned(session, arms)
    return arms, looks
