"""`summary.json`: what a campaign found, as typed values.

The models here are the one definition; `summary.schema.json` beside this file is generated from
them (`python -m pawl.report.summary`), and a test holds the two equal.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pawl.options import KindName
from pawl.report.text import UNBOUNDED
from pawl.report.values import Document, Value

if TYPE_CHECKING:  # it imports torch, which a page that is rendered anew does not need
    from pawl.evidence import Comparison
    from pawl.recipe import Recipe

SCHEMA_FILE = Path(__file__).with_name("summary.schema.json")


class TaskSummary(Value):
    """What was optimized. `rows` counts development and test rows.

    `left_out` names the columns of a table that are not used; the notes say why.
    """

    name: str
    source: str
    target: str
    kind: KindName
    rows: int
    development_rows: int
    test_rows: int
    inputs: list[str]
    classes: list[str]
    model: str
    notes: list[str] = Field(default_factory=list)
    left_out: list[str] = Field(default_factory=list)


class ArmSummary(Value):
    """One arm (baseline or final) on the test rows.

    `mean` is over the `n` single models that the gain is taken over. `value` is the score of what is
    kept, by its own predictions: the mean of the first `averaged` models (for the final arm: the
    bundle); `interval` is its 95% interval over test rows.
    """

    value: float
    interval: tuple[float, float]
    mean: float
    n: int
    averaged: int


class GainSummary(Value):
    """Final minus baseline on the test rows, in the metric's own units, positive when better.

    The interval (95%) covers models and test rows; `n` counts pairs of models, and with one of them
    it covers rows only. `proven` is the summary's own: decided on fresh pairs, not on the test rows.
    Where the baseline is delivered there is nothing to measure, and the gain is zero.
    """

    value: float
    interval: tuple[float, float]
    p_value: float
    n: int
    proven: bool
    statement: str


class Effect(Value):
    """A paired comparison of the confirmation: positive `value` favors the technique."""

    value: float
    interval: tuple[float, float]
    p_value: float
    n: int


def bounded(interval: tuple[float, float]) -> tuple[float, float]:
    """Returns an interval as JSON can hold it: one pair has no spread to go by, and JSON no infinity."""
    low, high = interval
    return max(low, -UNBOUNDED), min(high, UNBOUNDED)


def effect_of(comparison: Comparison, p_value: float | None = None) -> Effect:
    """Returns a comparison as the summary holds it, by default with its own p-value."""
    return Effect(
        value=comparison.effect,
        interval=bounded(comparison.interval),
        p_value=comparison.p_value if p_value is None else p_value,
        n=comparison.n,
    )


def name_of(recipe: Recipe) -> str:
    """Returns a model's short name: its learner, or that it is a network and which."""
    return recipe.learner.name if recipe.learner else f"network {recipe.id[:4]}"


class TechniqueSummary(Value):
    """The verdict on one change from the baseline.

    `change` says what differs from the baseline: `added`, `changed` (same technique, other
    settings), `swapped` (another technique of the same group; `instead_of` names it) or `removed`.
    `verdict`: `kept` (in the final recipe, shown to help), `unproven` (not shown to help; in the
    final recipe only if `in_final`), `rejected` (shown to harm, or dropped because the recipe
    without it is not worse). `p_value` is corrected (Holm) over the campaign's comparisons;
    `effect`, `interval` and `n` are `None` where the budget did not allow the comparison.
    """

    name: str
    stage: str
    change: Literal["added", "changed", "swapped", "removed"]
    instead_of: str | None = None
    verdict: Literal["kept", "rejected", "unproven"]
    in_final: bool
    effect: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    n: int
    settings: dict[str, Any]
    equal_time: Effect | None = None
    cost_ratio: float | None = None
    reason: str


Standing = Literal["untried", "tried", "left_out", "in_final", "proven"]


class Fix(Value):
    """What became of a technique that a finding suggests.

    `standing`: `untried`, `tried` (by that many `trials` of the search, and not compared), `left_out`
    (compared, and not in the final recipe), `in_final` (there, and not shown to help on its own) or
    `proven` (shown to help). `effect` is the recipe with it against the recipe without it, its p-value
    corrected over the campaign's comparisons; `None` where that was not compared.
    """

    technique: str
    standing: Standing
    trials: int
    effect: Effect | None = None


class FindingSummary(Value):
    """A diagnosis: the rule that fired, on what evidence, and what it suggests.

    `suggests` are techniques, `advice` is what else may help. `confidence` says whether what was
    measured is just over the rule's limit (`likely`) or twice and more (`clear`); `fixes` what the
    campaign found of each that was suggested, and `outcome` the same in a sentence, both empty where
    nothing was tried yet.
    """

    rule: str
    severity: Literal["info", "warning", "critical"]
    evidence: str
    suggests: list[str]
    confidence: Literal["likely", "clear"] = "clear"
    advice: str = ""
    outcome: str = ""
    fixes: list[Fix] = Field(default_factory=list)


class Pair(Value):
    """A cost of the baseline and of the final model."""

    baseline: float
    final: float


class SingleModel(Value):
    """One model in place of the several whose mean the final one predicts: what it costs, and loses.

    Of a blend a model of the recipe that did best on its own where choices were made; `effect` is then
    the blend against it on fresh pairs. `instead_of` is how many models the final one has. Latencies,
    size and parameters as in `CostSummary`.
    """

    name: str
    instead_of: int
    latency_ms: float
    batch_latency_ms: float
    size_bytes: int
    parameters: int
    effect: Effect | None = None


class CostSummary(Value):
    """Latency of one row and of a batch in ONNX Runtime (median ms), size in bytes, parameters.

    `single` is one model beside the final one; `None` where that is one model.
    """

    latency_ms: Pair
    batch_latency_ms: Pair
    batch_rows: int
    size_bytes: Pair
    parameters: Pair
    single: SingleModel | None = None


class TrialCounts(Value):
    """How many of the search's trials ended how; `trained` counts every model trained."""

    completed: int
    pruned: int
    failed: int
    trained: int


class ArmTrainings(Value):
    """How many trainings of an arm failed; each counts as the constant predictor's score."""

    arm: str
    phase: Literal["confirm", "test"]
    trained: int
    failed: int
    failed_share: float


class EvidenceSummary(Value):
    """How the verdicts were reached. `deliver` is what the bundle was allowed to hold."""

    pairs: int
    looks: list[int]
    alpha: float
    comparisons: int
    pairing_correlation: float | None
    learning_rate_retuned: bool
    holdout_share: float
    deliver: Literal["likely", "proven"]
    trainings: list[ArmTrainings]


class Summary(Document):
    """A campaign's result; see the parts for units and meanings.

    `delivered` says which recipe the bundle holds, `proven` whether the candidate was shown to beat the
    baseline, `likelihood` the chance that it does, by `confirmation`: the candidate against the baseline
    on fresh pairs, with the corrected p-value, whichever is delivered. Both are `None` where no recipe
    was compared. `final` is the recipe that is delivered.
    """

    schema_: Literal[1] = Field(1, alias="schema")
    task: TaskSummary
    metric: str
    direction: Literal["maximize", "minimize"]
    delivered: Literal["candidate", "baseline"]
    proven: bool
    likelihood: float | None
    baseline: ArmSummary
    final: ArmSummary
    gain: GainSummary
    confirmation: Effect | None
    techniques: list[TechniqueSummary]
    findings: list[FindingSummary]
    cost: CostSummary
    trials: TrialCounts
    evidence: EvidenceSummary
    test_touches: int
    seconds: float
    budget_seconds: float | None
    seed: int
    versions: dict[str, str]
    hardware: dict[str, str | int]
    command: str
    ledger_digest: str = Field(
        description="See `pawl.ledger.Ledger.digest`: the same for a repeat."
    )
    parts: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="What rooms add, by name, each with its `version`; see `pawl.report.parts`.",
    )


def json_schema() -> str:
    """Returns the JSON schema of `summary.json`."""
    from pawl.report.parts import parts  # noqa: PLC0415 - they import this module

    schema = Summary.model_json_schema(by_alias=True, mode="serialization")
    known = schema["properties"]["parts"].setdefault("properties", {})
    for part in parts():
        own = part.content.model_json_schema(ref_template=f"#/$defs/{part.name}.{{model}}")
        inner = own.pop("$defs", {})
        schema["$defs"] |= {f"{part.name}.{name}": each for name, each in inner.items()}
        own["properties"]["version"] = {"const": part.version}
        own["required"] = [*own.get("required", []), "version"]
        known[part.name] = own
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json_schema(), encoding="utf-8")
