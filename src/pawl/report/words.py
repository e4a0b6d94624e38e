"""The report's sentences: what stands under the headline, and the protocol in plain words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pawl.report.outcome import likely, of_rows_only
from pawl.report.summary import Summary
from pawl.report.text import clean, count, finite, number, percent


@dataclass(frozen=True, kw_only=True)
class Note:
    """A short heading with its text."""

    title: str
    text: str


def standfirst(summary: Summary) -> str:
    """Returns the campaign's own statement, under the headline."""
    text = clean(summary.gain.statement).strip()
    # The headline has said that already.
    text = re.sub(r"^Likely better, not proven:", "The best recipe found:", text)
    # A line that ends with "p =" reads badly.
    return re.sub(r"\b([pn]) ([=<]) ", "\\1\u00a0\\2\u00a0", text)


def times(value: int) -> str:
    """Returns `once`, `twice` or `n times`."""
    return {0: "never", 1: "once", 2: "twice"}.get(value, f"{value} times")


def protocol(summary: Summary) -> list[Note]:
    """Returns how the claims were reached, and what they rest on."""
    evidence, task = summary.evidence, summary.task
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
            f"{times(summary.test_touches)}. {_measured(summary)}",
        ),
        Note(title="What is delivered", text=_delivered(summary)),
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
    failed = _failed(summary)
    if failed:
        notes.append(
            Note(
                title="Trainings that failed",
                text=f"{failed}. Each counts as the score of predicting the same for every row.",
            )
        )
    once = summary.test_touches <= 1
    headline = (
        "The test rows are rows that nothing else has seen. "
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


def _measured(summary: Summary) -> str:
    gain = summary.gain
    if summary.delivered == "baseline":
        return "The baseline alone was scored, as the bundle holds it: there is no gain to measure."
    if of_rows_only(summary):
        return (
            "The gain is the difference between one model of each arm; its 95% interval covers the "
            "test rows only, not what other models would give."
        )
    return (
        f"The gain is the difference over {count(gain.n, 'pair of models', 'pairs of models')}, which "
        "share fold and seed; its 95% interval, of rows and models, covers both."
    )


def _delivered(summary: Summary) -> str:
    if summary.confirmation is None:
        return "No recipe was compared on fresh pairs, so the bundle holds the baseline."
    if summary.evidence.deliver == "proven":
        return (
            "The bundle was to hold only a recipe that is shown to be better, and the baseline "
            "otherwise."
        )
    return (
        "The bundle holds the recipe that is more likely better on fresh pairs, shown or not "
        f"({likely(summary)} for the best recipe found, counting each effect as equally likely "
        "beforehand, without correction for looks). What is claimed is another question: only what "
        "the corrected test shows."
    )


def _failed(summary: Summary) -> str:
    failed = [arm for arm in summary.evidence.trainings if arm.failed]
    return "; ".join(
        f"{clean(arm.arm)}, {'final test' if arm.phase == 'test' else 'fresh pairs'}: {arm.failed} of "
        f"{arm.trained} ({percent(arm.failed_share)})"
        for arm in failed
    )
