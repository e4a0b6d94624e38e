"""The report's sentences: the verdict, and the evidence protocol in plain words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pawl.report.summary import Summary
from pawl.report.text import capital, clean, count, finite, metric_name, number, places


@dataclass(frozen=True, kw_only=True)
class Note:
    """A short heading with its text."""

    title: str
    text: str


def verdict(summary: Summary) -> str:
    """Returns the headline."""
    gain = summary.gain
    if not gain.proven:
        return "No proven gain."
    digits = places(gain.interval, gain.value)
    before, after = (number(arm.mean, digits) for arm in (summary.baseline, summary.final))
    verb = "rises" if summary.direction == "maximize" else "falls"
    return f"Proven: {metric_name(summary.metric)} {verb} from {before} to {after}."


def standfirst(summary: Summary) -> str:
    """Returns what the headline means for the bundle, after the campaign's own statement."""
    statement = _without_opening(clean(summary.gain.statement).strip())
    # A line that ends with "p =" reads badly.
    statement = re.sub(r"\b([pn]) ([=<]) ", "\\1\u00a0\\2\u00a0", statement)
    if summary.gain.proven:
        return statement
    held = (
        "The bundle holds the baseline, the recipe that the campaign started from: nothing that "
        "was tried within the budget was shown to beat it on the test rows."
    )
    return f"{statement} {held}".strip()


def times(value: int) -> str:
    """Returns `once`, `twice` or `n times`."""
    return {0: "never", 1: "once", 2: "twice"}.get(value, f"{value} times")


def protocol(summary: Summary) -> list[Note]:
    """Returns how the claims were reached, and what they rest on."""
    evidence, task, gain = summary.evidence, summary.task, summary.gain
    share = f"{task.test_rows / task.rows:.0%} of {task.rows:,}" if task.rows > 0 else "of none"
    looks = _listed([str(look) for look in evidence.looks])
    looked = f", with a look after {looks} pairs; the looks share the error rate" if looks else ""
    retuned = (
        "The learning rate was tuned again in each arm."
        if evidence.learning_rate_retuned
        else "The learning rate was not tuned again in each arm: a verdict holds at the recipe's."
    )
    notes = [
        Note(
            title="The headline",
            text=f"{count(task.test_rows, 'test row')} ({share}) were set aside before anything "
            "else. The search and the techniques' verdicts never see them; they were scored "
            f"{times(summary.test_touches)}. The gain is the paired difference over "
            f"{count(gain.n, 'seed')} of each arm; its 95% interval, of rows and "
            "seeds, covers both.",
        ),
        Note(
            title="The techniques",
            text="Each was compared with the recipe without it (or, if it is in the baseline, with "
            f"it) in up to {count(evidence.pairs, 'pair')} of models, trained on the "
            f"{count(task.development_rows, 'development row')} less one fold, "
            f"{evidence.holdout_share:.0%}, and judged on that. Folds are of rows that no choice was "
            "made by, and seeds are fresh. "
            f"Both arms of a pair share fold and seed{looked}. {retuned}",
        ),
        Note(
            title="The correction",
            text=f"{count(evidence.comparisons, 'comparison')} in all. The recipe against the "
            "baseline comes first; only if it is shown to be better are its changes tested, with "
            "Holm's correction among them. The looks share alpha. So the chance of even one false "
            f"claim stays within {evidence.alpha:.0%}. Intervals count how much single rows matter, and "
            "what models vary beyond that.",
        ),
    ]
    if finite(evidence.pairing_correlation):
        notes.append(
            Note(
                title="The pairing",
                text="The scores of the two arms correlate at "
                f"{number(evidence.pairing_correlation, 2)} over the pairs. The more they do, the "
                "smaller the effects that a given number of pairs can show.",
            )
        )
    once = summary.test_touches <= 1
    headline = (
        "The headline gain is measured on test rows that nothing else has seen. "
        if once
        else f"The test rows were scored {times(summary.test_touches)}: a choice between those "
        "scores would favor the headline gain as well. "
    )
    notes += [
        Note(
            title="What it assumes",
            text="Mean differences that are roughly normal, models that depend little on any single "
            "training row, and new data that resemble these rows.",
        ),
        Note(
            title="What to keep in mind",
            text="The verdicts on single techniques hold for models trained on these rows; other "
            f"rows to train on are not part of them. {headline}Unproven does not mean useless; it means "
            "that this data and budget could not tell.",
        ),
    ]
    return notes


def _listed(items: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def _without_opening(statement: str) -> str:
    """Drops the opening that the headline says already."""
    rest = re.sub(r"^(no )?proven gain\b[\s:.;,]*", "", statement, flags=re.IGNORECASE)
    return capital(rest) if re.match(r"\w", rest) or not rest else statement
