"""Faults of data and of one training."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pawl.data import resolve_task
from pawl.diagnosing import Diagnosis, diagnosed
from pawl.diagnosing.rules.gains import tried
from pawl.environment import versions
from pawl.execution import deterministic, driving
from pawl.ledger import place_of
from pawl.options import DiagnoseCall, diagnosing
from pawl.recipe import Recipe
from pawl.report.findings import summary_of
from pawl.report.summary import FindingSummary
from pawl.search import baseline
from pawl.single.opening import found_from_anywhere, open_session


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

    @property
    def tried(self) -> tuple[str, ...]:
        """What was suspected and tried, with what it gained or lost."""
        run = self.diagnosis.training
        return () if run is None else tuple(tried(run, each) for each in run.trials)

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
        kept = None if call.out is None else place_of(call.out)
        task = resolve_task(source, **found_from_anywhere(call.of_task()))
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
