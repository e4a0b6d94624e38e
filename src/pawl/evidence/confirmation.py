"""Confirmation: whether a recipe beats the baseline, and which of its changes are shown to help.

By repeated cross-validation over rows that nothing was chosen by, with fresh seeds, paired on fold
and seed: first the recipe against the baseline, at full alpha; then, if it is shown to be better,
the recipe against itself without each change, with Holm's correction among these. Gatekeeping of
this kind keeps the family-wise error (Westfall and Krishen 2001) and does not let many small changes
hide a large gain. Looks after 5, 10 and 20 pairs share alpha; see `looks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pawl.evidence.arms import Arm, Blend, Single, Stacked, arm_of, lead
from pawl.evidence.delivering import delivers, likelihood
from pawl.evidence.dropping import without_harm
from pawl.evidence.looks import sequential_p, spending
from pawl.evidence.pairs import Compared, Pairs
from pawl.evidence.retuning import num_trainings, retuned
from pawl.evidence.selection import screen
from pawl.evidence.settling import pairs_to_settle
from pawl.evidence.tests import ALPHA, Comparison, holm
from pawl.evidence.verdicts import Verdict, name_without, verdict_of
from pawl.execution import Session
from pawl.options import Deliver
from pawl.recipe import Change, Recipe

LOOKS: tuple[int, ...] = (5, 10, 20)
"""Numbers of pairs after which results are looked at."""
_FEWEST_MORE = 3
_ASKED_TO_END = -1
_FEW, _MUCH_OF_THE_TIME = 2, 0.35
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
        members: Of a blend: what each of its recipes adds, the blend with it against the blend without.
            Not corrected for their number: they describe, and claim nothing.
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
    members: tuple[tuple[Recipe, Comparison], ...] = ()
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
        members=_members(pairs, arm),
        calibration=_calibration(pairs, arm),
    )


def _members(pairs: Pairs, arm: Arm) -> tuple[tuple[Recipe, Comparison], ...]:
    """Returns what each recipe of a blend adds to the others; nothing is trained for it."""
    if not isinstance(arm, Blend) or len(arm.recipes) == 1:
        return ()
    there = sorted(pairs.of(arm))
    found = []
    for recipe in arm.recipes:
        without = arm.without(recipe)
        pairs.run("confirm/members", {"without": without}, there)
        found.append((recipe, pairs.compare(arm, without)))
    return tuple(found)


def _calibration(pairs: Pairs, arm: Arm) -> Comparison | None:
    """Returns what a blend's temperature, shift or trees are worth; nothing is trained for it."""
    if not isinstance(arm, Blend | Stacked) or not arm.is_adjusted:
        return None
    there, plain = sorted(pairs.of(arm)), arm.unadjusted
    pairs.run("confirm/calibration", {"unadjusted": plain}, there)
    return pairs.compare(arm, plain)


def _unproven(candidate: Recipe, changes: Sequence[Change], reason: str) -> list[Verdict]:
    return [Verdict(c, candidate, "unproven", False, None, None, reason) for c in changes]


def look_by_look(
    session: Session,
    pairs: Pairs,
    candidate: Compared,
    others: Mapping[str, Compared],
    looks: Sequence[int],
    key: str,
    *,
    what: str,
    per_pair: float = 0.0,
) -> dict[str, float]:
    """Compares the candidate with each other recipe, look by look; returns p-values over the looks.

    Whether there is time for a further look is decided by the clock before the present one; the look
    that is so known to be the last gets all of alpha that is left. A comparison that is decided, even
    when corrected for all of them, is not trained further. Leaves the session's reserve. Where even so
    the time runs out in a look's middle, it is taken with the pairs there are, and is the last; without
    new ones, the look before was.

    Args:
        session: The campaign's.
        pairs: Where they are trained.
        candidate: What a positive effect favors.
        others: What it is compared with, by name.
        looks: Numbers of pairs.
        key: Of the units, behind the pairs' purpose.
        what: What is compared, for those who watch.
        per_pair: Seconds of a pair of all of them, as far as is known before the first.
    """
    planned = spending(looks)
    taken, shares = list[int](), list[float]()
    p_values: dict[str, list[float]] = {name: [] for name in others}
    combined = dict.fromkeys(others, 1.0)
    look, there = looks[0], 0
    while undecided := {n: arm for n, arm in others.items() if combined[n] * len(others) > ALPHA}:
        unit = f"{pairs.purpose}/{key}/{look}"
        session.listener.phase(
            pairs.purpose, f"{what}, {look} pairs of {1 + len(undecided)} recipes"
        )
        mine = {**undecided, "candidate": candidate}
        expected = (look - there) * (_per_pair(pairs, mine.values()) or per_pair)
        before, there = there, _grown(session, pairs, mine, unit, (there, look), expected)
        if there == before:
            if shares:  # by the clock, not by results, so what is left of alpha is its
                shares[-1] = 1.0 - sum(shares[:-1])
                combined |= {
                    name: sequential_p(p_values[name], taken, shares) for name in undecided
                }
            break
        following = 0
        if there == look:
            following = session.ledger.decide(
                f"{unit}/next",
                partial(_next_look, session, pairs, [candidate, *others.values()], look, looks),
            )
        taken.append(there)
        shares.append(planned[look] if following else 1.0 - sum(shares))
        for name, arm in undecided.items():
            p_values[name].append(pairs.compare(candidate, arm).p_value)
            combined[name] = sequential_p(p_values[name], taken, shares)
        if following <= 0:
            break
        look = following
    return combined


def _grown(
    session: Session,
    pairs: Pairs,
    arms: Mapping[str, Compared],
    key: str,
    look: tuple[int, int],
    expected: float,
) -> int:
    """Trains pairs from one number up to another; returns how many there are then.

    Where they are expected to take much of the time left, a few at a time: what is given up when the
    time runs out is then little. Members train faster together, so else all at once.
    """
    had, wanted = look

    def few_at_once() -> int:
        assert session.clock.left is not None
        return (
            _FEW
            if expected > _MUCH_OF_THE_TIME * (session.clock.left - session.clock.reserve)
            else wanted - had
        )

    step = wanted - had
    if session.clock.left is not None:
        step = session.ledger.decide(f"{key}/step", few_at_once)
    for number in range(had, wanted, step):
        upto = min(wanted, number + step)
        part = key if step == wanted - had else f"{key}/{upto}"
        if not pairs.run(part, arms, range(upto)):
            return number
        if session.clock.floor is not None:  # with pairs there, the end needs no more of them
            session.clock.floor = min(session.clock.floor, session.clock.reserve)
    return wanted


def _per_pair(pairs: Pairs, arms: Iterable[Compared]) -> float:
    """Returns the seconds of a pair of all these arms, as they took so far; 0 before the first."""
    return sum(pairs.seconds(arm) for arm in arms)


def _next_look(
    session: Session,
    pairs: Pairs,
    arms: Sequence[Compared],
    look: int,
    looks: Sequence[int],
) -> int:
    """Returns the number of pairs of the next look, 0 if this one is the last by the clock.

    Below 0 if it is the last as someone asked the campaign to end: who did may have seen results, so it
    gets no more of alpha than was planned.

    Where there is no time for all pairs of the next planned look, it is taken with those there is time
    for, if they are a few, and is the last. Looks at the clock and the number of arms, not at results.
    """
    planned = [n for n in looks if n > look]
    if not planned or look not in looks:
        return 0
    if session.clock.stopped:
        return _ASKED_TO_END
    if session.clock.left is None:
        return planned[0]
    affordable = look + int(
        (session.clock.left - session.clock.reserve) / max(_per_pair(pairs, arms), 1e-9)
    )
    return min(planned[0], affordable) if affordable >= look + _FEWEST_MORE else 0


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
