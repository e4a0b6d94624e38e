"""What becomes of a proven recipe when some of its changes are shown to harm it: they are dropped.

Each arm without a harmful change was shown to be better than the recipe, with the correction for all of
the campaign's comparisons, and the recipe to be better than the baseline. So that arm is better than the
baseline as well, and may be the final recipe, at no further cost in trainings or in alpha.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pawl.evidence.pairs import Pairs
from pawl.evidence.tests import ALPHA
from pawl.evidence.verdicts import Verdict, name_without
from pawl.execution import Session
from pawl.recipe import Recipe


def without_harm(
    session: Session,
    pairs: Pairs,
    baseline: Recipe,
    candidate: Recipe,
    arms: Mapping[str, Recipe],
    verdicts: Sequence[Verdict],
) -> tuple[Recipe, list[Verdict]]:
    """Drops the changes of a proven recipe that are shown to harm it.

    One harmful change: the arm without it. Several: the recipe without any of them if it too is shown to
    be better on the same pairs and no worse than the best arm, else the best arm.

    Args:
        session: The campaign's.
        pairs: The confirmation's trainings.
        baseline: What the candidate was shown to beat.
        candidate: The recipe that the verdicts are on.
        arms: Recipes without one change each, by `name_without`.
        verdicts: On the candidate's changes.

    Returns:
        The recipe to go on with, and the verdicts with what is in it.
    """
    harmful = [v for v in verdicts if v.verdict == "rejected"]
    if not harmful:
        return candidate, list(verdicts)
    final = max((arms[name_without(v.change)] for v in harmful), key=pairs.mean)
    if len(harmful) > 1:
        final = _all_dropped(session, pairs, baseline, candidate, final, harmful)
    present = {change.name for change in final.changes(baseline)}
    standing = [replace(v, in_final=v.change.name in present) for v in verdicts]
    known = {v.change.name for v in verdicts}
    reason = "re-tuned in the recipe without what harmed it; not compared on its own"
    standing += [
        Verdict(change, final, "unproven", True, None, None, reason)
        for change in final.changes(baseline)
        if change.name not in known
    ]
    return final, standing


def _all_dropped(
    session: Session,
    pairs: Pairs,
    baseline: Recipe,
    candidate: Recipe,
    best: Recipe,
    harmful: Sequence[Verdict],
) -> Recipe:
    """Returns the best arm without the other harmful changes too, if that is shown to be better."""
    smaller = best
    present = {change.name: change for change in best.changes(baseline)}
    for verdict in harmful:
        if verdict.change.name in present:
            smaller = smaller.revert(verdict.change, baseline)
    count = len(pairs.of(candidate))

    def affordable() -> bool:
        if session.left is None:
            return True
        return session.left - session.reserve > count * pairs.seconds(candidate)

    if not session.ledger.decide("confirm/all-dropped", affordable):
        return best
    names = ", ".join(v.change.name for v in harmful)
    pairs.run(f"confirm/without {names}", {f"without {names}": smaller}, range(count))
    shown = pairs.compare(smaller, candidate)
    better = shown.p_value <= ALPHA and shown.effect > 0
    return smaller if better and pairs.compare(smaller, best).effect >= 0 else best
