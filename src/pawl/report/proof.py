"""What a campaign found of what its diagnosis suggested: fault, fix, proof."""

from __future__ import annotations

from collections.abc import Sequence

from pawl.diagnosing import Finding
from pawl.evidence import Verdict
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe
from pawl.report.summary import Fix, Standing, effect_of


def fixes_of(
    finding: Finding, verdicts: Sequence[Verdict], trials: Sequence[TrialRecord], baseline: Recipe
) -> list[Fix]:
    """Returns what became of each technique that a finding suggests, in its order.

    Args:
        finding: What was found before the search.
        verdicts: On the changes that the confirmation compared.
        trials: Of the search.
        baseline: What was diagnosed: a technique that it has counts as tried with other settings.
    """
    # A suggestion is to have a technique: that its removal helps speaks against it.
    judged = {each.change.name: each for each in verdicts if each.change.kind != "removed"}
    return [_fix(name, judged.get(name), trials, baseline) for name in finding.suggests]


def _fix(
    name: str, verdict: Verdict | None, trials: Sequence[TrialRecord], baseline: Recipe
) -> Fix:
    tried = sum(_has(trial, name, baseline) for trial in trials)
    if verdict is None:
        return Fix(technique=name, standing="tried" if tried else "untried", trials=tried)
    comparison = verdict.comparison
    standing: Standing = "in_final" if verdict.in_final else "left_out"
    if verdict.verdict == "kept":
        standing = "proven"
    return Fix(
        technique=name,
        standing=standing,
        trials=tried,
        effect=None if comparison is None else effect_of(comparison, verdict.p_value),
    )


def _has(trial: TrialRecord, name: str, baseline: Recipe) -> bool:
    mine = trial.recipe.get(name)
    return mine is not None and mine != baseline.to_dict().get(name)


def outcome_of(fixes: Sequence[Fix]) -> str:
    """Returns in a sentence what became of a finding's suggestions; empty if it suggests nothing."""
    if not fixes:
        return ""

    def told(standing: Standing) -> list[Fix]:
        return [fix for fix in fixes if fix.standing == standing]

    if proven := told("proven"):
        return f"What it suggests is shown to help: {'; '.join(map(_measured, proven))}."
    if kept := told("in_final"):
        names = " and ".join(map(_measured, kept))
        return f"The final recipe has {names}; that it helps on its own is not shown."
    if left := told("left_out"):
        return f"What it suggests was compared and left out: {'; '.join(map(_measured, left))}."
    if tried := told("tried"):
        names = " and ".join(fix.technique for fix in tried)
        return f"The search tried {names}; nothing of it came to be compared on its own."
    return "Nothing that it suggests was tried."


def _measured(fix: Fix) -> str:
    if fix.effect is None:
        return fix.technique
    low, high = fix.effect.interval
    told = f"{fix.effect.value:+.3g} (95% {low:+.3g} to {high:+.3g}, {fix.effect.n} pairs)"
    return f"{fix.technique} {told}"
