"""Which techniques and settings the best trials of the search have more often than the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pawl.report.figures import Table
from pawl.report.parts.part import Bar, Content, Part, Section
from pawl.report.summary import Summary
from pawl.report.text import clean, count, number, p_text

if TYPE_CHECKING:
    from pawl.evidence import CampaignOutcome
    from pawl.execution import Session

_SHOWN = 12
_LEVEL = 0.05
_LEGEND = (("working", "more than shuffled scores give (p below 0.05)"), ("waiting", "within that"))


class SettingImportance(Content):
    """Of a parameter; see `pawl.search.importance.Importance`."""

    name: str
    value: float
    p_value: float
    trials: int
    best: int
    likely: Any


class ImportanceSummary(Content):
    """All parameters that varied, the most important first, and the trials with a score."""

    trials: int
    settings: list[SettingImportance]


def gather(session: Session, outcome: CampaignOutcome) -> ImportanceSummary | None:
    """Returns the importances by the search's trials; `None` where there are too few."""
    from pawl.search import Space, baseline  # noqa: PLC0415  (import torch)
    from pawl.search.importance import importances  # noqa: PLC0415
    from pawl.search.told import told  # noqa: PLC0415

    start = outcome.baseline
    space = Space(baseline(session.facts) if start.learner else start, session.facts)
    # A copy of another trial is not one more of its settings.
    trials = [t for t in session.ledger.trials("search") if "followed" not in t.extra]
    history = [told(trial, session.problem.objective.sign) for trial in trials]
    found = importances(space, history, session.rows.seed)
    if not found:
        return None
    return ImportanceSummary(
        trials=sum(each.score is not None for each in history),
        settings=[SettingImportance(**vars(each)) for each in found],
    )


def section(content: ImportanceSummary, summary: Summary) -> Section:
    """Returns the largest importances as bars, and what most of the best have."""
    del summary
    shown = content.settings[:_SHOWN]
    longest = max(each.value for each in shown) or 1.0
    bars = [
        Bar(
            name=label(each.name),
            told=f"{number(each.value, 2)}, p {p_text(each.p_value)}, mostly {_value(each.likely)}",
            pieces={
                "working" if each.p_value < _LEVEL else "waiting": round(
                    100 * each.value / longest, 2
                )
            },
        )
        for each in shown
    ]
    standing = sum(each.p_value < _LEVEL for each in content.settings)
    by_chance = _LEVEL * len(content.settings)
    return Section(
        title="What the best trials have in common",
        lead=f"By the {content.trials:,} trials of the search that have a score, "
        f"{count(standing, 'technique or setting', 'techniques and settings')} of "
        f"{len(content.settings)} set the best tenth apart from the others by more than shuffled scores "
        f"do; about {number(by_chance, 1)} would by chance.",
        legend=_LEGEND,
        bars=bars,
        tables=[
            Table(
                heads=("Setting", "Importance", "p", "Trials with it", "Best among them", "Mostly"),
                rows=[
                    (
                        label(each.name), number(each.value, 3), p_text(each.p_value), str(each.trials),
                        str(each.best), _value(each.likely),
                    )
                    for each in content.settings[: 3 * _SHOWN]
                ],
                note="Importance: Pearson divergence of a setting's values among the best from those "
                "among all trials (PED-ANOVA, Watanabe et al. 2023).",
            )
        ],
        note="The search chose these trials, so this is what goes together with a good score, and no "
        "proof that it made it: proofs are the techniques' verdicts.",
    )  # fmt: skip


def label(name: str) -> str:
    """Returns how a parameter is shown.

    Example:
        >>> [label(name) for name in ("use:dropout", "choose:optimizer", "adamw.learning_rate")]
        ['dropout, in or out', 'which optimizer', 'adamw learning_rate']
    """
    kind, _, what = name.partition(":")
    if kind == "use":
        return f"{clean(what)}, in or out"
    if kind == "choose":
        return f"which {clean(what)}"
    return clean(name).replace(".", " ", 1)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "in" if value else "out"
    return f"{value:.3g}" if isinstance(value, float) else clean(str(value))


PART = Part(
    name="importance",
    version=1,
    content=ImportanceSummary,
    gather=gather,
    section=section,
    place=95,
)
