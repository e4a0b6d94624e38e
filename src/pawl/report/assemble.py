"""From what the rooms found to the summary and the page's material."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pawl.data.types import LoadedData
from pawl.deployment import BATCH_ROWS, Cost
from pawl.environment import hardware, versions
from pawl.errors import LedgerError, PawlError
from pawl.evidence import (
    ALPHA,
    LOOKS,
    Arm,
    CampaignOutcome,
    Comparison,
    Single,
    Verdict,
    from_dict,
    lead,
    to_toml,
)
from pawl.execution import Session
from pawl.ledger import Ledger, TrialRecord
from pawl.recipe import Recipe
from pawl.report.findings import findings
from pawl.report.outcome import settling, statement
from pawl.report.page import render
from pawl.report.records import CurvePoint, Report, TrialPoint
from pawl.report.summary import (
    ArmSummary,
    ArmTrainings,
    CostSummary,
    Effect,
    EvidenceSummary,
    GainSummary,
    Pair,
    SingleModel,
    Summary,
    TaskSummary,
    TechniqueSummary,
    TrialCounts,
    bounded,
    effect_of,
    name_of,
)
from pawl.task import Objective, Task
from pawl.techniques import technique
from pawl.training.own_metric import note_on
from pawl.training.trained import Trained

_MAX_CURVES = 5
_CLAIMS = {
    "delivered", "proven", "likelihood", "baseline", "final", "gain", "confirmation", "techniques",
    "evidence",
}  # fmt: skip


def task_summary(task: Task, data: LoadedData, source: str, objective: Objective) -> TaskSummary:
    """Returns the summary's part on the task."""
    schema, about_metric = data.schema, note_on(objective)
    return TaskSummary(
        name=data.name,
        source=source,
        target=schema.target,
        kind=schema.kind,
        rows=len(data.development) + len(data.test),
        development_rows=len(data.development),
        test_rows=len(data.test),
        inputs=[f"{s.name} {list(s.shape)} {s.dtype}" for s in schema.inputs],
        classes=list(schema.classes),
        model=getattr(task.model, "__name__", str(task.model)) if task.model else "built by pawl",
        notes=[*data.notes, *([about_metric] if about_metric else [])],
        left_out=list(data.left_out),
    )


def summarize(
    session: Session,
    outcome: CampaignOutcome,
    *,
    task: TaskSummary,
    values: Mapping[str, float],
    costs: Mapping[str, Cost],
    command: str,
    single: Trained | None = None,
) -> Summary:
    """Returns the summary, and writes what it claims to the ledger.

    Args:
        session: The campaign's.
        outcome: What was found.
        task: What was optimized.
        values: Scores of the two kept models (`baseline`, `final`) by their ONNX graphs' predictions.
        costs: Of the two kept models, and of `single`.
        command: The command that repeats it.
        single: One of the models whose mean the final one is; `None` where that is one.
    """
    baseline, confirmation, test = outcome.baseline, outcome.confirmation, outcome.test
    objective, trials = session.problem.objective, session.ledger.trials("search")
    everything = session.ledger.trials()
    counts = {
        name: sum(t.status in statuses for t in trials)
        for name, statuses in {
            "completed": ("completed", "stopped"),
            "pruned": ("pruned",),
            "failed": ("diverged", "failed", "infeasible"),
        }.items()
    }
    gain = test.result.gain
    summary = Summary(
        schema=1,
        task=task,
        metric=objective.metric,
        direction=objective.direction,
        delivered="baseline" if confirmation.delivered == Single(baseline) else "candidate",
        proven=confirmation.proven,
        likelihood=confirmation.likelihood,
        baseline=ArmSummary(
            value=values["baseline"], interval=test.result.baseline[1],
            mean=test.result.baseline[0], n=test.models, averaged=test.averaged,
        ),
        final=ArmSummary(
            value=values["final"], interval=test.result.final[1],
            mean=test.result.final[0], n=test.models, averaged=test.averaged,
        ),
        gain=GainSummary(
            value=gain.effect,
            interval=gain.interval,
            p_value=gain.p_value,
            n=test.models,
            proven=confirmation.proven,
            statement="",
        ),
        confirmation=_effect(confirmation.headline, confirmation.p_value),
        techniques=[_technique(verdict) for verdict in confirmation.verdicts],
        findings=findings(
            session, test, baseline, lead(confirmation.delivered), confirmation.verdicts
        ),
        cost=CostSummary(
            latency_ms=_pair(costs, "latency_ms"),
            batch_latency_ms=_pair(costs, "batch_latency_ms"),
            batch_rows=min(BATCH_ROWS, task.test_rows),
            size_bytes=_pair(costs, "size_bytes"),
            parameters=Pair(
                baseline=test.baseline.num_parameters, final=test.final.num_parameters
            ),
            single=_single(outcome, costs.get("single"), single),
        ),
        trials=TrialCounts(**counts, trained=len(everything)),
        evidence=EvidenceSummary(
            pairs=0 if confirmation.headline is None else confirmation.headline.n,
            looks=list(confirmation.effort.looks),
            alpha=ALPHA,
            comparisons=confirmation.comparisons,
            pairing_correlation=confirmation.correlation,
            learning_rate_retuned=confirmation.retuned,
            holdout_share=_holdout_share(session),
            deliver=outcome.deliver,
            trainings=_trainings(everything),
        ),
        test_touches=session.ledger.test_touches,
        seconds=session.ledger.elapsed,
        budget_seconds=session.clock.budget,
        seed=session.rows.seed,
        versions=versions(),
        hardware=hardware(session.problem.device),
        command=command,
        ledger_digest="",
    )  # fmt: skip
    settled_by = settling(summary, confirmation.to_settle, LOOKS[-1])
    gained = summary.gain.model_copy(
        update={"statement": statement(summary, settled_by=settled_by)}
    )
    summary = summary.model_copy(update={"gain": gained})
    claims = summary.model_dump(mode="json", include=_CLAIMS)
    for part in claims["techniques"]:
        del part["cost_ratio"]  # times
    session.ledger.compute("claims", "claims", lambda: (claims, []))
    return summary.model_copy(update={"ledger_digest": session.ledger.digest()})


def _pair(costs: Mapping[str, Cost], key: str) -> Pair:
    return Pair(baseline=getattr(costs["baseline"], key), final=getattr(costs["final"], key))


def _single(
    outcome: CampaignOutcome, cost: Cost | None, single: Trained | None
) -> SingleModel | None:
    """Returns one model beside the several that are delivered; `None` if one is."""
    if cost is None or single is None:
        return None
    recipe, confirmation = single.parts[0].recipe, outcome.confirmation
    compared = confirmation.delivered == confirmation.candidate
    over = [part.over for part in confirmation.members if part.recipe == recipe and compared]
    return SingleModel(
        name=name_of(recipe),
        instead_of=len(outcome.test.final.parts),
        latency_ms=cost.latency_ms,
        batch_latency_ms=cost.batch_latency_ms,
        size_bytes=cost.size_bytes,
        parameters=single.num_parameters,
        effect=effect_of(over[0]) if over and over[0].n else None,
    )


def _effect(comparison: Comparison | None, p_value: float | None) -> Effect | None:
    return None if comparison is None else effect_of(comparison, p_value)


def _technique(verdict: Verdict) -> TechniqueSummary:
    change, comparison = verdict.change, verdict.comparison
    settings = (
        verdict.recipe.settings(change.name).model_dump(mode="json")
        if change.kind != "removed"
        else {}
    )
    return TechniqueSummary(
        name=change.name,
        stage=technique(change.name).stage.value,
        change=change.kind,
        instead_of=change.instead_of,
        verdict=verdict.verdict,
        in_final=verdict.in_final,
        effect=None if comparison is None else comparison.effect,
        interval=None if comparison is None else bounded(comparison.interval),
        p_value=verdict.p_value,
        n=0 if comparison is None else comparison.n,
        settings=settings,
        equal_time=_effect(verdict.equal_time, None),
        cost_ratio=verdict.cost_ratio,
        reason=verdict.reason,
    )


def _holdout_share(session: Session) -> float:
    """Returns the share of the development rows that a pair of the confirmation is judged on."""
    proof = session.rows.parts[1]
    return len(proof) // session.rows.num_folds(proof) / len(session.problem.targets)


def _trainings(trials: Sequence[TrialRecord]) -> list[ArmTrainings]:
    """Returns how many trainings of each arm failed, of those that claims rest on."""
    found: dict[tuple[str, str], list[bool]] = {}
    for trial in trials:
        if trial.phase in ("confirm", "test"):
            found.setdefault((trial.extra["arm"], trial.phase), []).append(trial.holdout is None)
    return [
        ArmTrainings(
            arm=arm,
            phase="test" if phase == "test" else "confirm",
            trained=len(failed),
            failed=sum(failed),
            failed_share=sum(failed) / len(failed),
        )
        for (arm, phase), failed in found.items()
    ]


def report_of(ledger: Ledger, summary: Summary, baseline: Recipe, final: Arm) -> Report:
    """Returns the page's material; curves of a blend are those of its leading recipe."""
    points = []
    clock = 0.0
    for number, trial in enumerate(ledger.trials("search"), start=1):
        clock += trial.seconds
        points.append(
            TrialPoint(
                number=number,
                generation=trial.extra["generation"] + 1,
                status=trial.status,  # type: ignore[arg-type]
                score=trial.score,
                steps=trial.steps,
                recipe=Recipe.from_dict(trial.recipe).describe(baseline),
                seconds=clock,
            )
        )
    curves = [
        CurvePoint(
            arm=arm,  # type: ignore[arg-type]
            seed=number,
            step=int(step or 0),
            train_loss=loss,
            valid_score=score,
        )
        for arm, recipe in (("baseline", baseline), ("final", lead(final)))
        for number, trial in enumerate(trainings_of(ledger, recipe)[:_MAX_CURVES])
        for step, loss, score in trial.curve
        if loss is not None
    ]
    return Report(
        summary=summary, trials=tuple(points), curves=tuple(curves), recipe_toml=to_toml(final)
    )


def trainings_of(ledger: Ledger, recipe: Recipe) -> list[TrialRecord]:
    """Returns a recipe's trainings in confirmation and test; not those longer, for an equal time."""
    both = [*ledger.trials("confirm"), *ledger.trials("test")]
    mine = [trial for trial in both if trial.recipe_id == recipe.id]
    usual = min((trial.epochs for trial in mine), default=0)
    return [trial for trial in mine if trial.epochs == usual]


def render_folder(folder: Path, summary: Summary) -> Path:
    """Writes a finished campaign's page anew from its ledger; returns its path.

    Raises:
        LedgerError: What the campaign left is missing or damaged.
    """
    with Ledger.open(folder) as ledger:
        path = folder / "artifacts" / "kept.json"
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            baseline, final = lead(from_dict(kept["baseline"])), from_dict(kept["final"])
        except (OSError, ValueError, LookupError, TypeError, PawlError):
            raise LedgerError(
                f"{str(path)!r} is missing or damaged; a report needs all that its campaign left; "
                "give the whole folder"
            ) from None
        page = render(report_of(ledger, summary, baseline, final))
        return ledger.write_file("report.html", page.encode())
