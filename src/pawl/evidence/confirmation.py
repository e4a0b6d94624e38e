"""Confirmation: which recipe, and which of its techniques, are shown to help.

1. *Race*: the search's best few recipes on a few fresh resplits; the best mean goes on. This is still
   selection and enters no verdict.
2. *Screen*: backward elimination. The recipe against itself without each change, on fresh resplits;
   what shows no benefit is dropped together if the smaller recipe is not inferior.
3. *Confirm*: on further fresh resplits, the recipe against the baseline, and against itself without
   each change that is left. Looks at 5, 10 and 20 pairs share alpha; the recipe against the
   baseline comes first, then, if it is shown to be better, the single changes with Holm's
   correction. Only these pairs enter the verdicts of what is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pawl.evidence.pairs import Pairs, forward_flops
from pawl.evidence.tests import ALPHA, Comparison, holm, non_inferior, sequential_p
from pawl.execution import Session
from pawl.recipe import Change, Recipe

VerdictName = Literal["kept", "rejected", "unproven"]
MARGIN_SHARE = 0.25
"""A smaller recipe is non-inferior if it loses less than this share of the gain over the baseline."""
_SCREEN_PAIRS = 5
_SLOWER = 1.1


@dataclass(frozen=True)
class Effort:
    """What the confirmation may spend, decided before it starts.

    Attributes:
        screen: Whether to run backward elimination.
        ablate: How many changes to test one by one, beside the whole recipe; added and swapped
            techniques come before changed settings.
        looks: Numbers of pairs after which to look.
    """

    screen: bool
    ablate: int
    looks: tuple[int, ...]


@dataclass(frozen=True)
class Verdict:
    """The verdict on one change.

    Attributes:
        change: What differs from the baseline.
        verdict: See `pawl.report.summary.TechniqueSummary`.
        in_final: Whether the confirmed recipe has it.
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


@dataclass(frozen=True)
class Confirmation:
    """The result: the recipe to go on with and what was shown.

    Attributes:
        final: The recipe shown to beat the baseline, or the baseline.
        candidate: The recipe that was compared.
        proven: Whether it was shown to beat the baseline.
        headline: Candidate against baseline on resplits; `None` if there was no time.
        p_value: Of the headline, corrected.
        verdicts: One per change that was looked at.
        effort: What was planned.
        pairs: Pairs that were trained in the confirm stage.
        comparisons: How many comparisons Holm corrected over.
        correlation: Between candidate and baseline over pairs.
    """

    final: Recipe
    candidate: Recipe
    proven: bool
    headline: Comparison | None
    p_value: float | None
    verdicts: tuple[Verdict, ...]
    effort: Effort
    pairs: int
    comparisons: int
    correlation: float | None = None
    notes: tuple[str, ...] = field(default=())


def race(session: Session, baseline: Recipe, recipes: Sequence[Recipe], pairs: int) -> Recipe:
    """Returns the recipe with the best mean over a few fresh resplits."""
    if len(recipes) == 1:
        return recipes[0]
    session.listener.phase("race", f"{len(recipes)} recipes on {pairs} fresh splits")
    racing = Pairs(session, "race")
    arms = {f"candidate {i}": recipe for i, recipe in enumerate(recipes)}
    racing.run("race", {"baseline": baseline, **arms}, range(pairs))
    return max(recipes, key=racing.mean)


def screen(
    session: Session, baseline: Recipe, candidate: Recipe
) -> tuple[Recipe, tuple[Verdict, ...]]:
    """Drops changes that show no benefit; returns the smaller recipe and what was dropped and why."""
    changes = candidate.changes(baseline)
    if len(changes) < 2:  # noqa: PLR2004
        return candidate, ()
    session.listener.phase("screen", f"{len(changes)} changes, one left out at a time")
    pairs = Pairs(session, "screen")
    arms = {"baseline": baseline, "candidate": candidate}
    without = {change: _without(candidate, change, baseline) for change in changes}
    arms |= {f"without {c.name}": recipe for c, recipe in without.items()}
    pairs.run("screen/each", arms, range(_SCREEN_PAIRS))
    effects = {change: pairs.compare(candidate, recipe) for change, recipe in without.items()}
    losers = [change for change, comparison in effects.items() if comparison.effect <= 0]
    margin = max(0.0, MARGIN_SHARE * pairs.compare(candidate, baseline).effect)
    dropped: list[Change] = []
    smaller = candidate
    if losers:
        for change in losers:
            smaller = _without(smaller, change, baseline)
        if smaller.changes(baseline):
            pairs.run("screen/joint", {"joint": smaller}, range(_SCREEN_PAIRS))
            if non_inferior(pairs.compare(smaller, candidate), margin):
                dropped = losers
    if losers and not dropped:
        worst = min(losers, key=lambda change: effects[change].effect)
        smaller = without[worst]
        if smaller.changes(baseline) and non_inferior(pairs.compare(smaller, candidate), margin):
            dropped = [worst]
        else:
            smaller = candidate
    return smaller, tuple(
        Verdict(
            change, candidate, "rejected", False, effects[change],
            min(1.0, effects[change].p_value * len(changes)),
            f"no benefit in {_SCREEN_PAIRS} screening pairs, and the recipe without it is not inferior",
        )
        for change in dropped
    )  # fmt: skip


def _without(recipe: Recipe, change: Change, baseline: Recipe) -> Recipe:
    return recipe.revert(change, baseline)


def confirm(  # noqa: PLR0914
    session: Session, baseline: Recipe, candidate: Recipe, effort: Effort
) -> Confirmation:
    """Compares the candidate with the baseline, and with itself without each change."""
    changes = candidate.changes(baseline)
    screened: tuple[Verdict, ...] = ()
    if effort.screen and effort.looks:
        candidate, screened = screen(session, baseline, candidate)
        changes = candidate.changes(baseline)
    if not effort.looks or not changes:
        reason = "not compared within the budget"
        return Confirmation(
            baseline, candidate, False, None, None,
            tuple(Verdict(c, candidate, "unproven", False, None, None, reason) for c in changes)
            + screened,
            effort, 0, 0,
        )  # fmt: skip
    others: dict[str, Recipe] = {"baseline": baseline}
    ranked = sorted(changes, key=lambda change: change.kind == "changed")
    for change in ranked[: effort.ablate]:
        others[f"without {change.name}"] = _without(candidate, change, baseline)
    pairs = Pairs(session, "confirm")
    p_by_look: dict[str, dict[int, float]] = {name: {} for name in others}
    adjusted: dict[str, float] = dict.fromkeys(others, 1.0)
    seen = 0
    for look in effort.looks:
        if seen and not session.ledger.decide(
            f"confirm/{look}/go", lambda n=look: _affordable(session, pairs, others, n)  # type: ignore[misc]
        ):
            break
        session.listener.phase("confirm", f"{len(others)} comparisons, {look} pairs")
        open_arms = {name: arm for name, arm in others.items() if adjusted[name] > ALPHA}
        open_arms |= {"candidate": candidate, "baseline": baseline}
        pairs.run(f"confirm/{look}", open_arms, range(look))
        seen = look
        for name in open_arms.keys() & others.keys():
            p_by_look[name][look] = pairs.compare(candidate, others[name]).p_value
        adjusted = _adjusted({n: sequential_p(p, effort.looks) for n, p in p_by_look.items()})
        if all(p <= ALPHA for p in adjusted.values()):
            break
    headline = pairs.compare(candidate, baseline)
    proven = adjusted["baseline"] <= ALPHA and headline.effect > 0
    verdicts = tuple(
        _verdict(session, pairs, candidate, baseline, change, adjusted, proven=proven)
        for change in changes
    )
    return Confirmation(
        final=candidate if proven else baseline,
        candidate=candidate,
        proven=proven,
        headline=headline,
        p_value=adjusted["baseline"],
        verdicts=verdicts + screened,
        effort=effort,
        pairs=seen,
        comparisons=len(others),
        correlation=pairs.correlation(candidate, baseline),
    )


def _adjusted(p_values: dict[str, float]) -> dict[str, float]:
    """Corrects for the number of comparisons, the headline first.

    The recipe against the baseline is tested at full alpha; the single changes only if it is
    rejected, by Holm among themselves. Gatekeeping of this kind keeps the family-wise error
    (Westfall and Krishen 2001) and does not let many small changes hide a large gain.
    """
    gate = p_values["baseline"]
    rest = [name for name in p_values if name != "baseline"]
    corrected = holm([p_values[name] for name in rest])
    return {"baseline": gate} | {
        name: max(gate, p) for name, p in zip(rest, corrected, strict=True)
    }


def _verdict(  # noqa: PLR0913
    session: Session, pairs: Pairs, candidate: Recipe, baseline: Recipe, change: Change,
    adjusted: dict[str, float], *, proven: bool,
) -> Verdict:
    name = f"without {change.name}"
    if name not in adjusted:
        reason = "not compared on its own within the budget"
        return Verdict(change, candidate, "unproven", proven, None, None, reason)
    without = _without(candidate, change, baseline)
    comparison, p_value = pairs.compare(candidate, without), adjusted[name]
    significant = p_value <= ALPHA
    verdict: VerdictName = "unproven"
    reason = f"no difference shown in {comparison.n} pairs; not shown to be dispensable either"
    if not proven:
        reason = "the recipe that has it is not shown to beat the baseline"
    elif significant and comparison.effect > 0:
        verdict, reason = "kept", f"the recipe is worse without it ({comparison.n} pairs)"
    elif significant:
        verdict, reason = "rejected", f"the recipe is better without it ({comparison.n} pairs)"
    ratio = _cost_ratio(session, pairs, candidate, without)
    equal_time = _equal_time(session, pairs, candidate, without, change, ratio, comparison)
    return Verdict(
        change, candidate, verdict, proven, comparison, p_value, reason, equal_time, ratio
    )


def _cost_ratio(session: Session, pairs: Pairs, candidate: Recipe, without: Recipe) -> float | None:
    """Returns the candidate's training cost over that of the recipe without a change.

    Measured seconds per row where clocks may decide, else counted operations.
    """
    if session.timed:
        mine, theirs = pairs.seconds_per_row(candidate), pairs.seconds_per_row(without)
        return None if not mine or not theirs else mine / theirs
    theirs_flops = forward_flops(session, without)
    return forward_flops(session, candidate) / theirs_flops if theirs_flops else None


def _equal_time(  # noqa: PLR0913
    session: Session, pairs: Pairs, candidate: Recipe, without: Recipe, change: Change,
    ratio: float | None, comparison: Comparison,
) -> Comparison | None:
    """Compares again with the recipe without the change trained for as long as the candidate.

    A change that costs no more is at equal time what it is at equal steps.
    """
    if ratio is None:
        return None
    if ratio < _SLOWER:
        return comparison
    longer = session.ledger.decide(
        f"equal-time/{change.name}",
        lambda: round(ratio, 3) if _affordable(session, pairs, {"x": without}, 0, ratio) else None,
    )
    if longer is None:
        return None
    session.listener.phase("equal time", f"without {change.name}, {longer:.2f} times as long")
    count = min(_SCREEN_PAIRS, len(pairs.of(without)))
    pairs.run(f"equal-time/{change.name}", {f"longer without {change.name}": without}, range(count), longer)
    return pairs.compare(candidate, without, longer)


def _affordable(
    session: Session, pairs: Pairs, arms: dict[str, Recipe], look: int, ratio: float = 1.0
) -> bool:
    """Tells whether there is time for these arms up to a look (0: five pairs), test phase set aside."""
    if session.left is None:
        return True
    per_training = sum(r.seconds for r in pairs.records) / max(1, len(pairs.records))
    more = (look - len(pairs.of(next(iter(arms.values()))))) if look else _SCREEN_PAIRS
    need = per_training * ratio * (len(arms) + 1) * more
    return session.left - session.reserve > need
