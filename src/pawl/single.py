"""Recipes on their own, without a search: `train` one, `compare` two, `diagnose` one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pawl import pacing
from pawl.campaign import check_fit
from pawl.data import LoadedData, resolve_task
from pawl.data import load as load_data
from pawl.delivery import export_graph, rehearse, scores_of
from pawl.deployment import predict, write_bundle
from pawl.diagnosing import Diagnosis, diagnosed
from pawl.environment import versions
from pawl.errors import BundleError
from pawl.evidence import ALPHA, LOOKS, Comparison, Pairs, final_test, look_by_look
from pawl.execution import Listener, Session, Silent, deterministic, driving, pick_device
from pawl.fingerprint import code_of
from pawl.ledger import Ledger
from pawl.options import (
    CompareCall,
    DiagnoseCall,
    RunOptions,
    TrainCall,
    comparing,
    diagnosing,
    training,
)
from pawl.processes import one_process
from pawl.recipe import Recipe
from pawl.report.findings import nothing_learned, summary_of
from pawl.report.summary import FindingSummary
from pawl.search import baseline
from pawl.task import Task
from pawl.training.checks import check_task
from pawl.training.problem import Problem
from pawl.transfer import print_of

_PLAIN = (str, int, float, tuple)


@dataclass(frozen=True)
class Compared:
    """Two recipes compared; a positive effect favors the second.

    Attributes:
        comparison: Effect, 95% interval and n over folds.
        p_value: Corrected for the looks.
        verdict: `better`, `worse` or `no difference shown`.
        metric: What was measured.
        means: Mean scores of the first and the second.
        findings: What a reader must know: a recipe whose models learned nothing.
        notes: What a reader should know of the data.
    """

    comparison: Comparison
    p_value: float
    verdict: str
    metric: str
    means: tuple[float, float]
    findings: tuple[FindingSummary, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Returns the comparison as JSON."""
        return json.dumps(
            {
                "metric": self.metric,
                "first": self.means[0],
                "second": self.means[1],
                "effect": self.comparison.effect,
                "interval": self.comparison.interval,
                "p_value": self.p_value,
                "n": self.comparison.n,
                "verdict": self.verdict,
                "findings": [finding.model_dump() for finding in self.findings],
                "notes": self.notes,
            },
            indent=2,
        )


def open_session(
    task: Task,
    recipes: Sequence[Recipe],
    folder: Path,
    call: RunOptions,
    what: str,
    epochs: int | None = None,
) -> tuple[Session, LoadedData]:
    """Reads a task's data and opens a session for trainings of these recipes, without a budget.

    Raises:
        PawlError: Wrong input, or a recipe that does not fit the task.
    """
    check_task(task)
    on = pick_device(call.device)
    code = {**code_of(task), "weights": print_of(task.weights)}
    listener: Listener = getattr(call, "listener", None) or Silent()
    with one_process():
        data = load_data(task, seed=call.seed)
        listener.phase("task", data.headline)
        problem = Problem.of(task, data, on)
        data = replace(data, notes=(*data.notes, *problem.notes))
    facts = problem.facts()
    check_fit(facts, [t.name for recipe in recipes for t, _ in recipe])
    options = {name: value for name, value in call.of_task().items() if isinstance(value, _PLAIN)}
    known = {"what": what, "fingerprint": data.fingerprint, "code": code, "seed": call.seed,
             "options": {**options, "seed": call.seed},
             "recipes": [recipe.to_dict() for recipe in recipes]}  # fmt: skip
    ledger = Ledger.create(folder, known)
    session = Session(problem, ledger, call.seed, None, listener)
    session.longest = epochs
    session.epochs = pacing.natural_epochs(session)
    return session, data


def _found_from_anywhere(given: dict[str, Any]) -> dict[str, Any]:
    """Returns options with paths that a task's module, which may change the directory, cannot change."""
    return {
        name: Path(value).absolute()
        if name in ("test", "weights") and isinstance(value, str | Path) and Path(value).exists()
        else value
        for name, value in given.items()
    }


@comparing(CompareCall)
@driving()
def compare(source: Any, first: Recipe, second: Recipe, call: CompareCall) -> Compared:
    """Compares two recipes by repeated cross-validation, paired on fold and seed, as a campaign does.

    Args:
        source: As in `optimize`. Its test rows are not touched.
        first: A recipe.
        second: The recipe that a positive effect favors.

    Raises:
        PawlError: Any wrong input, in one line.
    """
    looks = [n for n in LOOKS if n < call.pairs] + [call.pairs]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Ledger.place(Path(scratch) / "compare" if call.out is None else call.out)
        task = resolve_task(source, **_found_from_anywhere(call.of_task()))
        session, data = open_session(task, (first, second), folder, call, "compare", call.epochs)
        with deterministic(call.deterministic):
            return _compared(session, data, first, second, looks)


def _compared(
    session: Session, data: LoadedData, first: Recipe, second: Recipe, looks: Sequence[int]
) -> Compared:
    with session.ledger:
        pairs = Pairs(session, "compare", torch.arange(len(session.problem.targets)))
        found = look_by_look(
            session, pairs, second, {"first": first}, looks, "looks", what="two recipes"
        )
        p_value, comparison = found["first"], pairs.compare(second, first)
        verdict = "no difference shown"
        if p_value <= ALPHA:
            verdict = "better" if comparison.effect > 0 else "worse"
        objective = session.problem.objective
        means = (objective.sign * pairs.mean(first), objective.sign * pairs.mean(second))
        findings = tuple(
            nothing_learned(name, reason, recipe)
            for name, recipe in (("first", first), ("second", second))
            if (reason := pairs.nothing_learned(recipe))
        )
        return Compared(comparison, p_value, verdict, objective.metric, means, findings, data.notes)


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
def train(source: Any, recipe: Recipe, call: TrainCall) -> TrainedResult:
    """Trains one recipe, scores it on the test rows and leaves a bundle.

    Args:
        source: As in `optimize`.
        recipe: What to train.

    Raises:
        PawlError: Any wrong input, in one line.
    """
    folder = Ledger.place(call.out)
    task = resolve_task(source, **_found_from_anywhere(call.of_task()))
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
        write_bundle(
            ledger,
            schema=data.schema,
            graph=graph,
            predictor=trained.final,
            recipe=recipe.to_toml(),
            task=task_json,
            card=card,
        )
        ledger.write_file("recipe.toml", recipe.to_toml().encode())
        reason = trained.nothing_learned.get("final")
        findings = (nothing_learned("final", reason, recipe),) if reason else ()
        interval = trained.result.final[1]
        result = TrainedResult(folder, objective.metric, value, interval, findings, data.notes)
        ledger.write_file("train.json", (result.to_json() + "\n").encode())
    return result


@dataclass(frozen=True)
class Diagnosed:
    """What is wrong with data and training, as far as rules tell.

    Attributes:
        name: Of the data.
        findings: The gravest first.
        diagnosis: What they are of: the training that was watched, by layer and over time.
        recipe: What was trained.
        notes: What a reader should know of the data.
        folder: Where diagnosis.json is; `None` if none is kept.
    """

    name: str
    findings: tuple[FindingSummary, ...]
    diagnosis: Diagnosis
    recipe: Recipe
    notes: tuple[str, ...]
    folder: Path | None = None

    def to_json(self) -> str:
        """Returns the diagnosis as JSON; readings of the training are in `training`."""
        watched = self.diagnosis.training
        told = {
            "schema": 1,
            "name": self.name,
            "findings": [finding.model_dump() for finding in self.findings],
            "recipe": self.recipe.to_dict(),
            "training": None if watched is None else watched.to_dict(),
            "not_watched": self.diagnosis.reason,
            "notes": self.notes,
            "versions": versions(),
        }
        return json.dumps(told, indent=2, allow_nan=False)


@diagnosing(DiagnoseCall)
@driving()
def diagnose(source: Any, call: DiagnoseCall) -> Diagnosed:
    """Looks for faults of data and of one training, which is watched by layer and over time.

    Args:
        source: As in `optimize`. Of its test rows only the inputs are looked at.

    Raises:
        PawlError: Any wrong input, in one line.
    """
    recipe = Recipe.read(call.recipe) if isinstance(call.recipe, str | Path) else call.recipe
    with tempfile.TemporaryDirectory() as scratch:
        kept = None if call.out is None else Ledger.place(call.out)
        task = resolve_task(source, **_found_from_anywhere(call.of_task()))
        folder = Path(scratch) / "diagnosis" if kept is None else kept
        recipes = () if recipe is None else (recipe,)
        session, data = open_session(task, recipes, folder, call, "diagnosis", call.epochs)
        recipe = recipe or baseline(session.facts)
        with deterministic(call.deterministic), session.ledger as ledger:
            session.listener.phase("diagnose", "the data, and a training of the recipe")
            found = diagnosed(session, data, recipe, call.seconds)
            findings = tuple(summary_of(each) for each in found.findings)
            result = Diagnosed(data.name, findings, found, recipe, data.notes, kept)
            if kept is not None:
                ledger.write_file("diagnosis.json", (result.to_json() + "\n").encode())
    return result


__all__ = ["Compared", "Diagnosed", "TrainedResult", "compare", "diagnose", "open_session", "train"]
