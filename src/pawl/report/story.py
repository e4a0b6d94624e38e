"""Each finding as one story: the fault, what was tried against it, what is proven of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pawl.report.summary import FindingSummary, Fix, Summary
from pawl.report.text import (
    capital,
    clean,
    count,
    humanize,
    interval_text,
    number,
    p_phrase,
    places,
)

Tone = Literal["kept", "unproven", "rejected", ""]
_MOST_NAMED = 4
_UNPROVEN = {
    "in_final": "in the final recipe; that it helps on its own is not shown",
    "left_out": "compared and left out",
}


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What is known of one technique against a fault: its name, what was measured, what follows."""

    technique: str
    tone: Tone
    measured: str
    told: str


@dataclass(frozen=True, kw_only=True)
class Story:
    """A finding: rule, severity, what was seen, what was tried, and what came of it.

    Attributes:
        rule: Its name, for people.
        severity: Its severity.
        fault: The evidence.
        fix: What may mend it and how often the search tried it; empty if nothing is known.
        proofs: Techniques that were compared, those that are shown to help first.
        outcome: In place of proofs, why there are none; empty where nothing was suggested.
    """

    rule: str
    severity: str
    fault: str
    fix: str
    proofs: list[Proof]
    outcome: str


def stories(summary: Summary) -> list[Story]:
    """Returns what is wrong as stories, in their order, and whatever something was tried against."""
    every = [story(finding, summary) for finding in summary.findings]
    return [each for each in every if not _is_remark(each)]


def remarks(summary: Summary) -> list[Story]:
    """Returns what a reader should know and is no fault: the findings that are no `stories`."""
    return [each for finding in summary.findings if _is_remark(each := story(finding, summary))]


def _is_remark(each: Story) -> bool:
    return each.severity == "info" and not each.proofs


def story(finding: FindingSummary, summary: Summary) -> Story:
    """Returns a finding as a story."""
    compared = [fix for fix in finding.fixes if fix.standing in ("proven", "in_final", "left_out")]
    compared.sort(key=lambda fix: ("proven", "in_final", "left_out").index(fix.standing))
    return Story(
        rule=capital(humanize(finding.rule)),
        severity=finding.severity,
        fault=clean(finding.evidence),
        fix=_fix(finding, summary.trials.completed + summary.trials.pruned + summary.trials.failed),
        proofs=[_proof(fix) for fix in compared],
        outcome="" if compared else clean(finding.outcome),
    )


def _fix(finding: FindingSummary, trials: int) -> str:
    tried = [fix for fix in finding.fixes if fix.trials]
    parts = []
    if finding.suggests:
        parts.append(f"suggested: {_listed([humanize(name) for name in finding.suggests])}")
    if tried:
        names = [f"{humanize(fix.technique)} in {fix.trials:,}" for fix in tried]
        parts.append(f"tried: {_listed(names)} of {count(trials, 'trial')}")
    if finding.advice:
        parts.append(("else: " if parts else "") + clean(finding.advice))
    return capital("; ".join(parts)) + "." if parts else ""


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _proof(fix: Fix) -> Proof:
    tone: Tone = "kept" if fix.standing == "proven" else "unproven"
    told = _UNPROVEN.get(fix.standing, "shown to help")
    if fix.effect is None:
        return Proof(
            technique=humanize(fix.technique), tone=tone, told=told,
            measured="not compared on its own",
        )  # fmt: skip
    effect = fix.effect
    digits = places(effect.interval, effect.value)
    worse = fix.standing == "left_out" and effect.interval[1] < 0.0
    return Proof(
        technique=humanize(fix.technique),
        tone="rejected" if worse else tone,
        measured=f"{number(effect.value, digits, signed=True)}, 95% interval "
        f"{interval_text(effect.interval, digits, signed=True)}, {count(effect.n, 'pair')}, "
        f"{p_phrase(effect.p_value)}",
        told=told,
    )
