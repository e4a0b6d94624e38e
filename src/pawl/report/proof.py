"""What a campaign found of what its diagnosis suggested: fault, fix, proof."""

from __future__ import annotations

from collections.abc import Sequence

from pawl.diagnosing import Finding
from pawl.evidence import Verdict
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe


def outcome_of(
    finding: Finding, verdicts: Sequence[Verdict], trials: Sequence[TrialRecord], baseline: Recipe
) -> str:
    """Returns in a sentence what became of a finding's suggestions; empty if it suggests nothing.

    Args:
        finding: What was found before the search.
        verdicts: On the changes that the confirmation compared.
        trials: Of the search.
        baseline: What was diagnosed: a technique that it has counts as tried with other settings.
    """
    if not finding.suggests:
        return ""
    judged = [each for each in verdicts if each.change.name in finding.suggests]
    proven = [each for each in judged if each.verdict == "kept"]
    if proven:
        return f"What it suggests is shown to help: {'; '.join(map(_measured, proven))}."
    kept = [each.change.name for each in judged if each.in_final]
    if kept:
        return f"The final recipe has {' and '.join(kept)}; that it helps on its own is not shown."
    if judged:
        return f"What it suggests was compared and left out: {'; '.join(map(_measured, judged))}."
    tried = [
        name for name in finding.suggests if any(_has(trial, name, baseline) for trial in trials)
    ]
    if tried:
        return (
            f"The search tried {' and '.join(tried)}; nothing of it came to be compared on its own."
        )
    return "Nothing that it suggests was tried."


def _has(trial: TrialRecord, name: str, baseline: Recipe) -> bool:
    mine = trial.recipe.get(name)
    return mine is not None and mine != baseline.to_dict().get(name)


def _measured(verdict: Verdict) -> str:
    comparison = verdict.comparison
    if comparison is None:
        return verdict.change.name
    low, high = comparison.interval
    told = f"{comparison.effect:+.3g} (95% {low:+.3g} to {high:+.3g}, {comparison.n} pairs)"
    return f"{verdict.change.name} {told}"
