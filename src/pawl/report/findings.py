"""What a reader must know to judge the models and the gain."""

from __future__ import annotations

from collections.abc import Sequence

from pawl.diagnosing import Finding, recorded
from pawl.evidence import FinalTest, TestGain, Verdict
from pawl.execution import Session
from pawl.ledger import TrialRecord
from pawl.pacing import natural_epochs
from pawl.recipe import Recipe
from pawl.report.proof import fixes_of, outcome_of
from pawl.report.summary import FindingSummary, Fix
from pawl.techniques import Facts, refusal, technique

_LAST_SHARE = 0.8


def summary_of(finding: Finding, fixes: Sequence[Fix] = ()) -> FindingSummary:
    """Returns a finding as the summary holds it, with what became of what it suggests."""
    return FindingSummary(
        rule=finding.rule,
        severity=finding.severity,
        evidence=finding.evidence,
        suggests=list(finding.suggests),
        confidence=finding.confidence,
        advice=finding.advice,
        outcome=outcome_of(fixes),
        fixes=list(fixes),
    )


def findings(
    session: Session,
    test: FinalTest,
    baseline: Recipe,
    final: Recipe,
    verdicts: Sequence[Verdict] = (),
) -> list[FindingSummary]:
    """Returns what a reader must know to judge the models and the gain, and what was diagnosed.

    Args:
        session: The campaign's.
        test: What the test rows say.
        baseline: The recipe to beat.
        final: What is delivered; of a blend the recipe that leads it.
        verdicts: On the changes that were compared.
    """
    trials = session.ledger.trials("search")
    return [
        *_of_campaign(session, test, baseline, final),
        *(
            summary_of(each, fixes_of(each, verdicts, trials, baseline))
            for each in recorded(session.ledger)
        ),
    ]


def _of_campaign(
    session: Session, test: FinalTest, baseline: Recipe, final: Recipe
) -> list[FindingSummary]:
    arms = {"baseline": baseline, "final": final}
    found = [
        nothing_learned(name, reason, arms[name], session.facts)
        for name, reason in test.nothing_learned.items()
        if name == "final" or baseline != final
    ]
    if test.last_value is not None and test.last_value.gain.interval[0] <= 0.0:
        found.append(_like_the_last_value(test.last_value, session.problem.objective.metric))
    changed = {role: None for change in session.ledger.accepted for role in change["changed"]}
    if changed:
        found.append(
            FindingSummary(
                rule="accepted_changes",
                severity="warning",
                evidence=f"the task's {' and '.join(changed)} changed while the campaign ran, which was "
                "accepted: what was trained before is compared with what was trained after",
                suggests=["a new campaign"],
            )
        )
    if session.rows.most is not None:
        found.append(_part_of_rows(session, session.rows.most))
    if session.clock.stopped_after is not None:
        found.append(stopped_early(session.clock.stopped_after))
    searched = {trial.epochs for trial in session.ledger.trials("search")}
    if searched and max(searched) < session.epochs:
        found.append(_longer(max(searched), session.epochs))
    networks = [recipe for recipe in dict.fromkeys((baseline, final)) if not recipe.learner]
    alone = [plan for each in networks if (plan := session.trainer.chosen(each)) is not None]
    if alone and all(plan.way.mode == "serial" for plan in alone):
        found.append(_one_by_one(alone[0].reason))
    baselines = [t for t in test.records if t.extra["arm"] == "baseline"]
    sign = session.problem.objective.sign
    unfinished = sum(_still_improving(t, sign) for t in baselines)
    if session.epochs < natural_epochs(session) and 2 * unfinished > len(baselines):
        # A baseline that was cut short is weak.
        found.append(
            FindingSummary(
                rule="short_trainings",
                severity="warning",
                evidence=f"{unfinished} of {len(baselines)} baseline trainings had not leveled off "
                f"after {session.epochs} epochs, the longest that the budget allowed: part of the gain "
                "may be faster learning rather than a better end",
                suggests=["a larger budget"],
            )
        )
    return found


def _longer(before: int, epochs: int) -> FindingSummary:
    """Returns the finding that a search went by shorter trainings than those that follow it."""
    return FindingSummary(
        rule="longer_trainings",
        severity="info",
        evidence=f"the search went by trainings of {before} epochs; what was compared and is delivered "
        f"was trained for {epochs}, as the time allowed, the baseline as well as the final recipe",
        suggests=[],
    )


def _one_by_one(why: str) -> FindingSummary:
    """Returns the finding that networks did not train together, as one population."""
    return FindingSummary(
        rule="one_by_one",
        severity="info",
        evidence=f"the networks that are compared trained one by one, not as one population: {why}",
        suggests=[],
    )


def _part_of_rows(session: Session, most: int) -> FindingSummary:
    """Returns the finding that a budget holds too few passes over all rows to search with them."""
    every, end = len(session.problem.targets), session.ledger.decisions("rows")[0]
    return FindingSummary(
        rule="part_of_rows",
        severity="warning",
        evidence=f"the budget holds few passes over all {every:,} development rows: search and "
        f"comparisons drew {most:,} of them for each training, and the models of the end "
        f"{min(every, end or every):,}; the rows to judge by were drawn likewise",
        suggests=["a larger budget"],
    )


def stopped_early(after: float) -> FindingSummary:
    """Returns the finding that someone asked the campaign to end."""
    return FindingSummary(
        rule="stopped_early",
        severity="info",
        evidence=f"the campaign was asked to end after {after:.0f} s: it searched, or compared, less "
        "than its budget allowed",
        suggests=["a new campaign with the whole budget"],
    )


def nothing_learned(arm: str, reason: str, recipe: Recipe, facts: Facts) -> FindingSummary:
    """Returns the finding that an arm's models learned nothing."""
    scaled = "standardize" in recipe or "normalize" in recipe
    scales = not scaled and refusal(technique("standardize"), facts) is None
    return FindingSummary(
        rule="learned_nothing",
        severity="critical" if arm == "final" else "warning",
        evidence=f"the {arm} model learned nothing: {reason}",
        suggests=["standardize"] if scales else [],
    )


def _like_the_last_value(against: TestGain, metric: str) -> FindingSummary:
    """Returns the finding that a model is not shown to beat what a person predicts without one."""
    low, high = against.gain.interval
    worse = high < 0.0
    return FindingSummary(
        rule="last_value",
        severity="critical" if worse else "warning",
        evidence=f"the final model is {'worse than' if worse else 'not shown to beat'} predicting the "
        f"last known value: its {metric.replace('_', ' ')} is {against.final[0]:.4g} against "
        f"{against.baseline[0]:.4g} (better by {against.gain.effect:.3g}, 95% interval {low:.3g} to "
        f"{high:.3g})",
        suggests=["a longer window", "more rows"],
    )


def _still_improving(trial: TrialRecord, sign: float) -> bool:
    """Tells whether a training's best evaluation lies in the last fifth of its planned length."""
    scores = [sign * score for _, _, score in trial.curve if score is not None]
    if trial.status != "completed" or not scores:
        return False
    return scores.index(max(scores)) + 1 > _LAST_SHARE * len(scores)
