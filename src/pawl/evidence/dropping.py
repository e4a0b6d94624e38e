"""What becomes of a proven recipe when some of its changes are shown to harm it: they are dropped.

Each arm without a harmful change was shown to be better than the recipe, with the correction for all of
the campaign's comparisons, and the recipe to be better than the baseline. So that arm is better than the
baseline as well, and may be the final recipe, at no further cost in trainings or in alpha.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pawl.evidence.pairs import Pairs
from pawl.evidence.tests import ALPHA, Comparison, holm
from pawl.evidence.verdicts import Verdict, judged_by, name_without
from pawl.execution import Session
from pawl.recipe import Recipe


@dataclass(frozen=True)
class Dropped:
    """A proven recipe without what harms it.

    Attributes:
        final: The recipe to go on with.
        verdicts: On the candidate's changes, with what is in the final recipe.
        p_value: The largest of the corrected p-values by which the final recipe is better than the
            candidate; 0 if it is the candidate.
        comparisons: How many comparisons the correction counts, the candidate's own one aside.
    """

    final: Recipe
    verdicts: list[Verdict]
    p_value: float
    comparisons: int


def without_harm(
    session: Session,
    pairs: Pairs,
    baseline: Recipe,
    candidate: Recipe,
    arms: Mapping[str, Recipe],
    verdicts: Sequence[Verdict],
    found: Mapping[str, float],
    gate: float,
) -> Dropped:
    """Drops the changes of a proven recipe that are shown to harm it.

    One harmful change: the arm without it. Several: the recipe without any of them if it too is shown to
    be better on the same pairs and no worse than the best arm, else the best arm. That further
    comparison joins those that Holm's correction is for, so that the verdicts are judged anew.

    Args:
        session: The campaign's.
        pairs: The confirmation's trainings.
        baseline: What the candidate was shown to beat.
        candidate: The recipe that the verdicts are on.
        arms: Recipes without one change each, by `name_without`.
        verdicts: On the candidate's changes.
        found: The arms' p-values over the looks, before Holm's correction, by `name_without`.
        gate: The candidate's own p-value; none behind it is smaller.
    """
    standing, comparisons, all_dropped = list(verdicts), len(found), None
    several = [v for v in standing if v.verdict == "rejected"]
    if len(several) > 1:
        smaller, shown = _all_dropped(session, pairs, baseline, candidate, arms, several)
        if shown is not None:
            comparisons += 1
            *others, joint = holm([*found.values(), shown.p_value])
            adjusted = {n: max(gate, p) for n, p in zip(found, others, strict=True)}
            standing = [
                v if v.p_value is None else judged_by(v, adjusted[name_without(v.change)])
                for v in standing
            ]
            if shown.effect > 0 and max(gate, joint) <= ALPHA:
                all_dropped = smaller, max(gate, joint)
    harmful = [v for v in standing if v.verdict == "rejected"]
    if not harmful:
        return Dropped(candidate, standing, 0.0, comparisons)
    final = max((arms[name_without(v.change)] for v in harmful), key=pairs.mean)
    p_value = max(v.p_value or 0.0 for v in harmful)
    if all_dropped and len(harmful) == len(several):
        smaller, joint = all_dropped
        if pairs.compare(smaller, final).effect >= 0:
            final, p_value = smaller, max(p_value, joint)
    return Dropped(final, _standing(baseline, final, standing), p_value, comparisons)


def _standing(baseline: Recipe, final: Recipe, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Returns the verdicts with what is in the final recipe."""
    changes = final.changes(baseline)
    present, known = {change.name for change in changes}, {v.change.name for v in verdicts}
    reason = "re-tuned in the recipe without what harmed it; not compared on its own"
    return [
        *(replace(v, in_final=v.change.name in present) for v in verdicts),
        *(
            Verdict(change, final, "unproven", True, None, None, reason)
            for change in changes
            if change.name not in known
        ),
    ]


def _all_dropped(
    session: Session,
    pairs: Pairs,
    baseline: Recipe,
    candidate: Recipe,
    arms: Mapping[str, Recipe],
    harmful: Sequence[Verdict],
) -> tuple[Recipe, Comparison | None]:
    """Returns the best arm without the other harmful changes too, against the candidate.

    `None` where there is no time for it, or it is no other recipe than the best arm.
    """
    smaller = best = max((arms[name_without(v.change)] for v in harmful), key=pairs.mean)
    present = {change.name: change for change in best.changes(baseline)}
    for verdict in harmful:
        if verdict.change.name in present:
            smaller = smaller.revert(verdict.change, baseline)
    count = len(pairs.of(candidate))

    def affordable() -> bool:
        if session.clock.left is None:
            return True
        return session.clock.left - session.clock.reserve > count * pairs.seconds(candidate)

    if smaller == best or not session.ledger.decide("confirm/all-dropped", affordable):
        return best, None
    names = ", ".join(v.change.name for v in harmful)
    arm = {f"without {names}": smaller}
    if not pairs.run(f"confirm/without {names}", arm, range(count)):
        return best, None
    return smaller, pairs.compare(smaller, candidate)
