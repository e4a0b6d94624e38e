"""Two recipes compared, as a campaign compares them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pawl.data import LoadedData, notes_on_copies, resolve_task
from pawl.evidence import ALPHA, LOOKS, Comparison, Pairs, look_by_look
from pawl.execution import Session, deterministic, driving
from pawl.ledger import place_of
from pawl.options import CompareCall, comparing
from pawl.recipe import Recipe
from pawl.report.findings import nothing_learned
from pawl.report.summary import FindingSummary
from pawl.single.opening import found_from_anywhere, open_session


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


@comparing(CompareCall)
@driving()
def compare(
    source: Any, first: Recipe | str | Path, second: Recipe | str | Path, call: CompareCall
) -> Compared:
    """Compares two recipes by repeated cross-validation, paired on fold and seed, as a campaign does.

    Args:
        source: As in `optimize`. Its test rows are not touched.
        first: A `Recipe`, or a TOML file with one.
        second: The recipe that a positive effect favors, alike.

    Raises:
        PawlError: Any wrong input, in one line.
    """
    first, second = Recipe.given(first), Recipe.given(second)
    looks = [n for n in LOOKS if n < call.pairs] + [call.pairs]
    with tempfile.TemporaryDirectory() as scratch:
        folder = place_of(Path(scratch) / "compare" if call.out is None else call.out)
        task = resolve_task(source, **found_from_anywhere(call.of_task()))
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
            nothing_learned(name, reason, recipe, session.facts)
            for name, recipe in (("first", first), ("second", second))
            if (reason := pairs.nothing_learned(recipe))
        )
        notes = (*data.notes, *notes_on_copies(data))
        return Compared(comparison, p_value, verdict, objective.metric, means, findings, notes)
