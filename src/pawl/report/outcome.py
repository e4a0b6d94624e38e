"""What a campaign's numbers allow to be said, in one place: headline, statement, tones.

Three things are told apart. What is *proven* is decided by the corrected test on fresh pairs. What is
*delivered* is what is likely better there. What the *test rows* show is measured afterwards, and may
agree or not. No sentence claims more than its own numbers.
"""

from __future__ import annotations

import math
from typing import Literal

from pawl.report.summary import Effect, Summary
from pawl.report.text import (
    count,
    finite,
    interval_text,
    metric_name,
    number,
    p_phrase,
    percent,
    places,
)

TestSays = Literal["better", "unclear", "worse", "nothing"]


def test_says(summary: Summary) -> TestSays:
    """Returns what the test rows say of the delivered recipe: by the gain's interval, against zero."""
    if summary.delivered == "baseline":
        return "nothing"
    low, high = summary.gain.interval
    if finite(low) and low > 0:
        return "better"
    return "worse" if finite(high) and high < 0 else "unclear"


test_says.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


def seen(summary: Summary) -> bool:
    """Tells whether a gain is proven on fresh pairs and seen on the test rows as well."""
    return summary.proven and test_says(summary) == "better"


def headline(summary: Summary) -> str:
    """Returns the outcome in a line."""
    says = test_says(summary)
    if summary.delivered == "baseline":
        return "No proven gain."
    if not summary.proven:
        worse = "; worse on the test rows" if says == "worse" else ""
        return f"Likely better, not proven{worse}."
    if says == "better":
        verb = "rises" if summary.direction == "maximize" else "falls"
        return f"Proven: {metric_name(summary.metric)} {verb} {_from_to(summary)}."
    how = "not seen" if says == "unclear" else "but worse"
    return f"Proven on fresh pairs, {how} on the test rows."


def statement(summary: Summary, *, settled_by: str = "") -> str:
    """Returns what was found, with every number that it rests on.

    Args:
        summary: The campaign's result; its own statement is not read.
        settled_by: A sentence on what would settle what is not proven.
    """
    if summary.delivered == "baseline":
        parts = [_baseline_stays(summary)]
    elif seen(summary):
        parts = [
            f"The final recipe improves {metric_name(summary.metric)} on {_rows(summary)} "
            f"{_from_to(summary)}: a gain of {_gain(summary, signed=False)}, confirmed over "
            f"{_fresh(summary)}."
        ]
    elif summary.proven:
        parts = [
            f"The final recipe is shown to beat the baseline over {_fresh(summary)}.",
            _on_test_rows(summary),
        ]
    else:
        parts = [_likely(summary), _on_test_rows(summary)]
    text = " ".join(filter(None, [*parts, settled_by, _of_the_average(summary)]))
    return text.replace("\u00a0", " ")  # the page binds words, other readers need not


def settling(summary: Summary, to_settle: float | None, most: int) -> str:
    """Returns what would probably settle what is not proven; empty where nothing useful is known.

    Args:
        summary: The campaign's result.
        to_settle: See `pawl.evidence.pairs_to_settle`.
        most: Pairs that a campaign makes at most.
    """
    effect, budget = summary.confirmation, summary.budget_seconds
    if summary.proven or effect is None or to_settle is None:
        return ""
    if not finite(to_settle):
        return "At this effect the rows are probably too few to show it, whatever the budget."
    pairs = count(to_settle, "pair")
    if to_settle > most:
        return (
            f"At this effect it would take about {pairs} to show it, more than the {most} that a "
            "campaign makes: more rows, or a larger effect, are needed."
        )
    if budget is None:
        return f"At this effect about {pairs} would show it; more --trials make more pairs."
    longer = _budget_text(budget * to_settle / max(1, effect.n))
    return f"At this effect about {pairs} would show it: try --budget {longer}."


def _budget_text(seconds: float) -> str:
    """Returns a budget that is at least so long, in the form that `--budget` takes."""
    if seconds <= 120:
        return f"{10 * math.ceil(seconds / 10)}s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes}m" if minutes <= 120 else f"{math.ceil(minutes / 60)}h"


def likely(summary: Summary) -> str:
    """Returns how likely the candidate is better: `94%`, never 0% or 100%."""
    return percent(summary.likelihood)


def of_rows_only(summary: Summary) -> bool:
    """Tells whether the gain's interval covers rows only, as one model of each arm allows no more."""
    return summary.gain.n == 1


def _likely(summary: Summary) -> str:
    effect = summary.confirmation
    assert effect is not None
    value, span = _effect(effect)
    return (
        f"Likely better, not proven: {value} ({span}) in {metric_name(summary.metric)} over "
        f"{count(effect.n, 'fresh pair')}, {likely(summary)} likely; the bundle holds it."
    )


def _baseline_stays(summary: Summary) -> str:
    effect, metric = summary.confirmation, metric_name(summary.metric)
    baseline = summary.baseline
    mean = number(baseline.mean, places(baseline.interval, baseline.mean))
    holds = f"the bundle holds the baseline ({metric} {mean} on {_rows(summary)})"
    if effect is None:
        # Without looks there was no time; otherwise there was no other recipe to look at.
        why = (
            "No recipe did better than the baseline in the search"
            if summary.evidence.looks
            else "No recipe could be compared with the baseline within the budget"
        )
        return f"{why}; {holds}."
    asked = ""
    if effect.value > 0 and summary.evidence.deliver == "proven":
        asked = ", as only a proven recipe was to be delivered"
    value, span = _effect(effect)
    return (
        f"The best recipe found is not shown to beat the baseline: {value} ({span}) in {metric} over "
        f"{count(effect.n, 'fresh pair')}, corrected {p_phrase(effect.p_value)}, {likely(summary)} "
        f"likely to be better; {holds}{asked}."
    )


def _on_test_rows(summary: Summary) -> str:
    """Returns what the test rows say where they do not confirm what is proven, or nothing is."""
    says, rows = test_says(summary), _rows(summary)
    changed = f"{metric_name(summary.metric)} {_from_to(summary)}, {_gain(summary)}"
    if summary.proven:
        lead = "do not show it" if says == "unclear" else "say the opposite"
        return f"The {rows} {lead}: {changed}."
    added = {"better": "; that is no proof, which fresh pairs decide"}.get(says, "")
    return f"On {rows}: {changed}{added}."


def _from_to(summary: Summary) -> str:
    digits = places(summary.gain.interval, summary.gain.value)
    before, after = (number(arm.mean, digits) for arm in (summary.baseline, summary.final))
    return f"from {before} to {after}"


def _gain(summary: Summary, *, signed: bool = True) -> str:
    gain, says = summary.gain, test_says(summary)
    digits = places(gain.interval, gain.value)
    where = {"unclear": ", which holds zero", "worse": ", all of it below zero"}.get(says, "")
    models = (
        "over rows only: one model of each arm"
        if of_rows_only(summary)
        else count(gain.n, "pair of models", "pairs of models")
    )
    span = interval_text(gain.interval, digits, signed=signed)
    return f"{number(gain.value, digits, signed=signed)} (95% interval {span}{where}, {models})"


def _fresh(summary: Summary) -> str:
    effect = summary.confirmation
    if effect is None:
        return "fresh pairs"
    value, span = _effect(effect)
    return (
        f"{count(effect.n, 'fresh pair')} ({value}, 95% interval {span}, corrected "
        f"{p_phrase(effect.p_value)})"
    )


def _effect(effect: Effect) -> tuple[str, str]:
    digits = places(effect.interval, effect.value)
    return (
        number(effect.value, digits, signed=True),
        interval_text(effect.interval, digits, signed=True),
    )


def _rows(summary: Summary) -> str:
    return count(summary.task.test_rows, "test row")


def _of_the_average(summary: Summary) -> str:
    """Says what the bundle scores where it is not one of the models that the gain is about."""
    final = summary.final
    if final.averaged == 1:
        return ""
    digits = places(final.interval, final.value)
    value, alike = number(final.value, digits), summary.baseline.averaged == final.averaged
    beside = f"; as many baselines averaged have {number(summary.baseline.value, digits)}"
    return (
        f"The bundle averages {final.averaged} such models: {metric_name(summary.metric)} {value}"
        f"{beside if alike else ''}."
    )
