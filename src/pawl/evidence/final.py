"""The final claim: baseline and final recipe on the test rows, touched once and on record."""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from pawl.data import split_rows
from pawl.data.types import Examples
from pawl.errors import TrialError
from pawl.evidence.tests import TestGain, gain_on_test
from pawl.execution import Job, Session, record_of
from pawl.execution.session import STOPPING_SHARE
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe
from pawl.training.population import Member
from pawl.training.trained import Trained, from_outcome, load_artifact, save_artifact

_PREDICTIONS = "artifacts/test-predictions.safetensors"


@dataclass(frozen=True)
class FinalTest:
    """What the test rows say.

    Attributes:
        result: Gain, baseline and final with their intervals.
        baseline: The first seed's baseline model.
        final: The first seed's model of the final recipe: what is deployed.
        records: The trainings.
        seeds: Number of paired seeds.
    """

    result: TestGain
    baseline: Trained
    final: Trained
    records: tuple[TrialRecord, ...]
    seeds: int


def final_test(
    session: Session, baseline: Recipe, final: Recipe, test: Examples, seeds: int
) -> FinalTest:
    """Trains both recipes on all development rows with paired seeds and scores the test rows.

    Raises:
        TrialError: No seed of both arms trained to a usable model.
    """
    session.listener.phase("test", f"{seeds} seeds of baseline and final on the test rows")
    arms = {"baseline": baseline, "final": final}
    unit = session.ledger.compute("test", "test", lambda: ({}, _train(session, arms, test, seeds)))
    session.note(unit.trials)
    stored = load_file(session.ledger.folder / _PREDICTIONS)
    assert test.targets is not None
    result = gain_on_test(
        session.problem.objective, stored["baseline"], stored["final"], test.targets.cpu(),
        seed=session.seed,
    )  # fmt: skip
    models = {
        name: load_artifact(
            session.ledger, f"artifacts/{name}.safetensors", session.problem, _rows(session, name)
        )
        for name in arms
    }
    return FinalTest(result, models["baseline"], models["final"], unit.trials, len(stored["final"]))


def _member(session: Session, recipe: Recipe, index: int) -> Member:
    train, valid = split_rows(
        session.problem.targets,
        session.problem.schema.kind,
        STOPPING_SHARE,
        session.derive("test", "stopping", index),
    )
    return Member(recipe, session.derive("test", "seed", index), train, valid, session.epochs)


def _rows(session: Session, arm: str) -> Tensor:
    """Returns the training rows of the model that was kept of an arm."""
    kept = json.loads((session.ledger.folder / "artifacts/kept.json").read_text())
    return _member(session, Recipe.from_dict(kept["recipes"][arm]), kept["seed_index"]).train


def _train(
    session: Session, arms: dict[str, Recipe], test: Examples, seeds: int
) -> list[TrialRecord]:
    session.ledger.touch_test("gain of the final recipe over the baseline")
    examples = test.to(session.problem.device)
    rows = torch.arange(len(test))
    distinct = {recipe.id: (name, recipe) for name, recipe in reversed(arms.items())}
    jobs = {
        (id_, index): Job(_member(session, recipe, index), rows)
        for id_, (_, recipe) in distinct.items()
        for index in range(seeds)
    }
    results = dict(
        zip(
            jobs,
            session.train(list(jobs.values()), examples=examples, with_weights=True),
            strict=True,
        )
    )
    usable = [
        index
        for index in range(seeds)
        if all(results[id_, index].score is not None for id_ in distinct)
    ]
    if not usable:
        reasons = {r.outcome.reason for r in results.values()} - {""}
        found = "; ".join(sorted(reasons)) or "its predictions of the test rows are not finite"
        raise TrialError(f"no final model could be trained ({found}); check the model and the data")
    predictions = {}
    for name, recipe in arms.items():
        each = [results[recipe.id, index].predictions for index in usable]
        predictions[name] = torch.stack([p for p in each if p is not None]).contiguous()
        kept = from_outcome(session.problem, results[recipe.id, usable[0]].outcome)
        save_artifact(session.ledger, f"artifacts/{name}.safetensors", kept)
    session.ledger.write_file(_PREDICTIONS, save(predictions))
    kept_json = {
        "seed_index": usable[0],
        "recipes": {name: recipe.to_dict() for name, recipe in arms.items()},
    }
    session.ledger.write_file("artifacts/kept.json", json.dumps(kept_json).encode())
    return [
        record_of(
            result.outcome, "test", f"{distinct[id_][0]} #{index}", "test", holdout=result.score
        )
        for (id_, index), result in results.items()
    ]
