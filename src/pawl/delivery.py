"""What a campaign leaves: exported models, checked and measured, in a bundle, and the report."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from pawl.compression import CLAIM, keep_within
from pawl.data import LoadedData
from pawl.deployment import Bundle, Costs, check_parity, measure, predict, write_bundle
from pawl.evidence import Blend, CampaignOutcome, Single, best_alone, held, to_toml
from pawl.execution import Heartbeat, Session
from pawl.options import LimitOptions
from pawl.recipe import Recipe
from pawl.report import parts
from pawl.report.assemble import report_of, summarize, task_summary
from pawl.report.card import card
from pawl.report.page import render
from pawl.report.summary import Summary
from pawl.task import Task
from pawl.training.metrics import score
from pawl.training.trained import Predictor, untrained


def deliver(
    session: Session,
    task: Task,
    data: LoadedData,
    found: CampaignOutcome,
    *,
    source: str,
    command: str,
    limits: LimitOptions | None = None,
) -> Summary:
    """Exports, checks, measures and describes what a campaign found, and leaves it in its folder.

    Args:
        session: The campaign's.
        task: What was optimized.
        data: The task's.
        found: The campaign's result.
        source: How reports name the data.
        command: The command that repeats the campaign.
        limits: What the delivered model may cost.
    """
    baseline, confirmation, test = found.baseline, found.confirmation, found.test
    session.listener.phase("deploy", "export, parity, latency, bundle")
    models = {"final": test.final}
    if confirmation.delivered != Single(baseline):
        models["baseline"] = test.baseline
    if len(test.final.parts) > 1:
        models["single"] = test.final.alone(best_alone(session, confirmation.delivered))
    exported = session.trainer.spread([partial(_exported, each, data) for each in models.values()])
    graphs = dict(zip(models, exported, strict=True))
    graphs.setdefault("baseline", graphs["final"])
    costs = measure(graphs, data.test)
    predicted = {name: predict(graphs[name], data.test) for name in ("baseline", "final")}
    values = scores_of(session, data, predicted)
    if found.coverage is not None and found.coverage.conformal is not None:
        assert data.test.targets is not None
        units = None if data.test.blocks is None else data.test.blocks.units
        inside = held(
            found.coverage.conformal, data.schema.kind, predicted["final"], data.test.targets, units
        )
        found = replace(found, coverage=replace(found.coverage, held=inside))
    if limits is not None and limits.limited:
        session.ledger.touch_test(CLAIM)
    part = task_summary(task, data, source, session.problem.objective)
    summary = summarize(
        session, found, task=part, values=values, costs=costs, command=command,
        single=models.get("single"),
    )  # fmt: skip
    bundle = _left_bundle(session, data, found, graphs["final"], summary)
    if limits is not None and limits.limited:
        keep_within(session, data, bundle, limits, task.model)
    return _report(session, found, summary)


def rehearse(session: Session, data: LoadedData, baseline: Recipe) -> float:
    """Exports the baseline before it is trained: a model that cannot be exported should be known now.

    Returns:
        The processor's seconds of an export, where clocks may decide anything.

    Raises:
        BundleError: It cannot be exported.
    """
    train, _ = session.rows.search
    fresh = untrained(session.problem, baseline, session.rows.derive("rehearsal"), train)
    export_graph(fresh, data)
    if not session.clock.timed:
        return session.clock.export_seconds
    # Timed behind the first one, which also waits for the exporter to be imported.
    started = time.process_time()
    export_graph(fresh, data)
    return time.process_time() - started


def export_graph(predictor: Predictor, data: LoadedData) -> bytes:
    """Returns what predicts as an ONNX graph, its predictions checked on test rows."""
    graph = predictor.graph(data.development.take(torch.arange(4)))
    check_parity(predictor, graph, data.test)
    return graph


def _exported(predictor: Predictor, data: LoadedData, _: Heartbeat) -> bytes:
    return export_graph(predictor, data)


def scores_of(
    session: Session, data: LoadedData, predicted: dict[str, np.ndarray]
) -> dict[str, float]:
    """Returns the kept models' scores by what their graphs predict of the test rows."""
    assert data.test.targets is not None
    return {
        name: float(
            score(
                session.problem.objective,
                torch.from_numpy(predictions),
                data.test.targets,
            )
        )
        for name, predictions in predicted.items()
    }


def _left_bundle(
    session: Session,
    data: LoadedData,
    found: CampaignOutcome,
    graph: bytes,
    summary: Summary,
) -> Bundle:
    """Writes bundle and recipe."""
    session.listener.phase("report", "bundle")
    ledger, recipe = session.ledger, to_toml(found.confirmation.delivered)
    described: dict[str, Any] = {
        "name": data.name,
        "metric": summary.metric,
        "direction": summary.direction,
        "versions": summary.versions,
        **session.problem.kept,
    }
    delivered = found.confirmation.delivered
    if isinstance(delivered, Blend) and delivered.shift:
        described["shift"] = delivered.shift
    if found.coverage is not None and found.coverage.conformal is not None:
        described["conformal"] = found.coverage.conformal.to_dict()
    ledger.write_file("recipe.toml", recipe.encode())
    spent = summary.cost
    costs = Costs(spent.latency_ms.final, spent.batch_latency_ms.final, spent.batch_rows)
    return write_bundle(
        ledger, schema=data.schema, graph=graph, predictor=found.test.final, recipe=recipe,
        task=described, card=card(summary, recipe), measured=costs.here(),
    )  # fmt: skip


def _report(session: Session, found: CampaignOutcome, summary: Summary) -> Summary:
    """Writes report and summary; the summary last: all else is there.

    Returns:
        The summary with the times until the page was written.
    """
    session.listener.phase("report", "report.html")
    ledger = session.ledger
    last = {"parts": parts.gathered(session, found), "seconds": ledger.elapsed}
    whole = summary.model_copy(update=last)
    page = render(report_of(ledger, whole, found.baseline, found.confirmation.delivered))
    ledger.write_file("report.html", page.encode())
    ledger.write_file("summary.json", whole.to_json().encode())
    return whole
