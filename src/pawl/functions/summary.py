"""`summary.json` of a function's campaign, and the statement that its numbers allow."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pawl.report.summary import Effect
from pawl.report.text import duration, interval_text, number, p_phrase, percent, places
from pawl.report.values import Document, Value


class SettingsArm(Value):
    """An arm over the confirmation's seeds: mean score, its 95% interval, and `n` seeds.

    Where nothing was compared, it is the one run of the search; its interval is then unbounded (`None`).
    """

    settings: dict[str, Any]
    mean: float
    interval: tuple[float, float] | None
    n: int
    failed: int = 0


class ChangeSummary(Value):
    """One setting that differs: final settings against those with the baseline's value, over seeds.

    `verdict`: `kept` (shown to help), `rejected` (shown to harm) or `unproven`. `p_value` is corrected
    (Holm) over the changes; `effect` is `None` where it was not measured.
    """

    name: str
    before: Any
    after: Any
    verdict: Literal["kept", "rejected", "unproven"]
    effect: Effect | None


class FunctionSummary(Document):
    """A function's campaign; see the parts for units and meanings.

    `delivered` says which settings are in `settings.json`, `proven` whether the candidate was shown to
    beat the baseline, `likelihood` the chance that it does, by `confirmation`, over fresh seeds. Both
    are `None` where nothing was compared. `deterministic` says that seeds made no difference, so that
    there was nothing to test. `stopped_after` has the campaign seconds after which someone asked it to
    end; `None` if nobody did.
    """

    schema_: Literal[1] = Field(1, alias="schema")
    what: Literal["function"] = "function"
    name: str
    metric: str
    direction: Literal["maximize", "minimize"]
    delivered: Literal["candidate", "baseline"]
    proven: bool
    deterministic: bool
    likelihood: float | None
    baseline: SettingsArm
    candidate: SettingsArm | None
    confirmation: Effect | None
    changes: list[ChangeSummary]
    statement: str
    runs: int
    failed: int
    looks: list[int]
    alpha: float
    seconds: float
    budget_seconds: float | None
    stopped_after: float | None = None
    seed: int
    versions: dict[str, str]
    hardware: dict[str, str | int]
    command: str
    ledger_digest: str

    @property
    def final(self) -> dict[str, Any]:
        """The settings that are delivered."""
        arm = self.baseline if self.delivered == "baseline" else self.candidate
        assert arm is not None
        return arm.settings


def headline(summary: FunctionSummary) -> str:
    """Returns the outcome in a line."""
    if summary.candidate is None:
        return "No other settings ran to their end."
    if summary.proven:
        verb = "rises" if summary.direction == "maximize" else "falls"
        return f"Proven: {summary.metric} {verb} {_from_to(summary)}."
    if summary.deterministic and summary.delivered == "candidate":
        return f"Better, and the same for every seed: {summary.metric} goes {_from_to(summary)}."
    if summary.delivered == "candidate":
        return "Likely better, not proven."
    return "No proven gain."


def statement_of(summary: FunctionSummary) -> str:
    """Returns what was found, with every number that it rests on, and whether it was cut short."""
    if summary.stopped_after is None:
        return _found(summary)
    return (
        f"{_found(summary)} The campaign was asked to end after {duration(summary.stopped_after)}: it "
        "searched, or compared, less than it was to."
    )


def _found(summary: FunctionSummary) -> str:
    if summary.candidate is None:
        return "No settings but the baseline's ran to their end; the baseline stays."
    effect = summary.confirmation
    if summary.deterministic:
        kept = (
            "are delivered" if summary.delivered == "candidate" else "are no better; they stay out"
        )
        return (
            f"The best settings found {kept}: {summary.metric} {_from_to(summary)}. Every seed gives "
            "the same, so that there is no chance to test against: it holds for this function as it is."
        )
    if effect is None:
        return (
            "There was no time to compare the best settings found with the baseline, which stays; try a "
            "longer budget."
        )
    digits = places(effect.interval, effect.value)
    gain = (
        f"{number(effect.value, digits, signed=True)} (95% interval "
        f"{interval_text(effect.interval, digits, signed=True)}, {effect.n} seeds, corrected "
        f"{p_phrase(effect.p_value)})"
    ).replace("\u00a0", " ")
    if summary.proven:
        return (
            f"The best settings found improve {summary.metric} {_from_to(summary)}: a gain of {gain}, "
            "over fresh seeds."
        )
    likely = percent(summary.likelihood)
    what = "Likely better, not proven" if summary.delivered == "candidate" else "No proven gain"
    return f"{what}: {gain} over fresh seeds, {likely} likely to be better."


def _from_to(summary: FunctionSummary) -> str:
    assert summary.candidate is not None
    digits = places(summary.candidate.interval, summary.candidate.mean)
    before, after = (number(arm.mean, digits) for arm in (summary.baseline, summary.candidate))
    return f"from {before} to {after}"
