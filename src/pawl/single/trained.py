"""One recipe trained, scored on the test rows and bundled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pawl.data import notes_on_copies, resolve_task
from pawl.delivery import export_graph, rehearse, scores_of
from pawl.deployment import BATCH_ROWS, Costs, measure, predict, write_bundle
from pawl.errors import BundleError
from pawl.evidence import final_test
from pawl.execution import deterministic, driving
from pawl.ledger import TRAINED, place_of
from pawl.options import TrainCall, training
from pawl.recipe import Recipe
from pawl.report.findings import nothing_learned
from pawl.report.summary import FindingSummary
from pawl.single.opening import found_from_anywhere, open_session


@dataclass(frozen=True)
class TrainedResult:
    """One recipe, trained and bundled; `value` is its score on the test rows, with its interval.

    `findings` has what a reader must know: that the model learned nothing.
    """

    folder: Path
    metric: str
    value: float
    interval: tuple[float, float]
    findings: tuple[FindingSummary, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Returns the result as JSON."""
        return json.dumps(
            {"metric": self.metric, "value": self.value, "interval": self.interval,
             "bundle": str(self.folder / "bundle"),
             "findings": [finding.model_dump() for finding in self.findings],
             "notes": self.notes},
            indent=2,
        )  # fmt: skip


@training(TrainCall)
@driving()
def train(source: Any, recipe: Recipe | str | Path, call: TrainCall) -> TrainedResult:
    """Trains one recipe, scores it on the test rows and leaves a bundle.

    Args:
        source: As in `optimize`.
        recipe: What to train: a `Recipe`, or a TOML file with one.

    Raises:
        PawlError: Any wrong input, in one line.
    """
    recipe = Recipe.given(recipe)
    folder = place_of(call.out)
    task = resolve_task(source, **found_from_anywhere(call.of_task()))
    session, data = open_session(task, (recipe,), folder, call, "train", call.epochs)
    with deterministic(call.deterministic), session.ledger as ledger:
        if session.problem.own_model:
            try:
                rehearse(session, data, recipe)
            except BundleError:  # nothing was trained: another model may have the folder
                ledger.discard()
                raise
        trained = final_test(session, recipe, recipe, data.test, seeds=1)
        graph = export_graph(trained.final, data)
        value = scores_of(session, data, {"final": predict(graph, data.test)})["final"]
        objective = session.problem.objective
        task_json = {
            "name": data.name,
            "metric": objective.metric,
            "direction": objective.direction,
            **session.problem.kept,
        }
        card = (
            f"# {data.name}\n\n{objective.metric} {value:.6g} on {len(data.test):,} test rows.\n\n"
            f"```toml\n{recipe.to_toml()}```\n"
        )
        cost, several = measure({"": graph}, data.test)[""], min(BATCH_ROWS, len(data.test))
        write_bundle(
            ledger,
            schema=data.schema,
            graph=graph,
            predictor=trained.final,
            recipe=recipe.to_toml(),
            task=task_json,
            card=card,
            measured=Costs(cost.latency_ms, cost.batch_latency_ms, several).here(),
        )
        ledger.write_file("recipe.toml", recipe.to_toml().encode())
        reason = trained.nothing_learned.get("final")
        findings = (nothing_learned("final", reason, recipe, session.facts),) if reason else ()
        interval = trained.result.final[1]
        notes = (*data.notes, *notes_on_copies(data))
        result = TrainedResult(folder, objective.metric, value, interval, findings, notes)
        ledger.write_file(TRAINED, (result.to_json() + "\n").encode())
    return result
