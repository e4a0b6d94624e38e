"""The final claim: baseline and final recipe on the test rows, touched once and on record."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from safetensors.torch import load, save

from pawl.data import split_rows
from pawl.data.types import Examples
from pawl.errors import TrialError
from pawl.evidence.gain import TestGain, gain_on_test
from pawl.execution import STOPPING_SHARE, Job, Session, record_of
from pawl.ledger import TrialRecord, Unit
from pawl.recipe import Recipe
from pawl.training.population import Member
from pawl.training.trained import Trained, averaged, from_outcome, load_artifact, save_artifact

_KEPT = "artifacts/kept.json"


@dataclass(frozen=True)
class FinalTest:
    """What the test rows say.

    Attributes:
        result: Gain, baseline and final with their intervals.
        baseline: The mean of the first seeds' baseline models.
        final: The mean of the first seeds' models of the final recipe: what is deployed.
        records: The trainings.
        seeds: Number of paired seeds.
        averaged: How many models `baseline` and `final` are the mean of.
    """

    result: TestGain
    baseline: Trained
    final: Trained
    records: tuple[TrialRecord, ...]
    seeds: int
    averaged: int


def final_test(
    session: Session,
    baseline: Recipe,
    final: Recipe,
    test: Examples,
    seeds: int,
    more: Callable[[int, float], int] | None = None,
    *,
    average: int = 1,
) -> FinalTest:
    """Trains both recipes on all development rows with paired seeds and scores the test rows.

    Args:
        session: The campaign's.
        baseline: One arm.
        final: The other; it may be the same recipe.
        test: The test rows.
        seeds: Paired seeds that are trained together.
        more: Is told how many seeds are done and what the last ones took (seconds per seed), and
            returns how many to train next; 0 ends the test. It sees the clock, not results.
        average: Most models of an arm that are kept, to predict by their mean.

    Raises:
        TrialError: No seed of both arms trained to a usable model.
    """
    arms = {"baseline": baseline, "final": final}
    ledger, units = session.ledger, list[Unit]()
    done, count = 0, seeds
    while count:
        session.listener.phase(
            "test", f"seeds {done + 1} to {done + count} of baseline and final on the test rows"
        )
        key = f"test/{len(units)}"
        kept = len(_usable(units)[:average])
        work = partial(_train, session, arms, test, key, range(done, done + count), average - kept)
        units.append(ledger.compute(key, "test", work))
        session.note(units[-1].trials)
        done, per_seed = done + count, units[-1].seconds / count
        count = 0 if more is None else ledger.decide(f"{key}/more", partial(more, done, per_seed))
    records = tuple(trial for unit in units for trial in unit.trials)
    rounds = [load(ledger.read_file(_predictions(u.key))) for u in units if u.payload["usable"]]
    if not rounds:
        reasons = {trial.reason for trial in records if trial.reason}
        found = "; ".join(sorted(reasons)) or "its predictions of the test rows are not finite"
        raise TrialError(f"no final model could be trained ({found}); check the model and the data")
    stored = {name: torch.cat([each[name] for each in rounds]) for name in arms}
    assert test.targets is not None
    result = gain_on_test(
        session.problem.objective, stored["baseline"], stored["final"], test.targets.cpu(),
        averaged=average,
    )  # fmt: skip
    kept_seeds = _usable(units)[:average]
    models = {
        name: averaged(
            [
                load_artifact(
                    ledger, _artifact(name, index), session.problem,
                    _member(session, recipe, index).train,
                )
                for index in kept_seeds
            ]
        )
        for name, recipe in arms.items()
    }  # fmt: skip
    return FinalTest(
        result, models["baseline"], models["final"], records, len(stored["final"]), len(kept_seeds)
    )


def _usable(units: Iterable[Unit]) -> list[int]:
    """Returns the numbers of the seeds of which both arms ended with a usable model."""
    return list(itertools.chain.from_iterable(unit.payload["usable"] for unit in units))


def _predictions(key: str) -> str:
    return f"artifacts/{key.replace('/', '-')}-predictions.safetensors"


def _artifact(arm: str, seed_index: int) -> str:
    return f"artifacts/{arm}-{seed_index}.safetensors"


def _member(session: Session, recipe: Recipe, index: int) -> Member:
    train, valid = split_rows(
        session.problem.targets,
        session.problem.schema.kind,
        STOPPING_SHARE,
        session.derive("test", "stopping", index),
    )
    seed = session.derive("test", "seed", index)
    return session.member(recipe, seed, train, valid, session.epochs)


def _train(
    session: Session, arms: dict[str, Recipe], test: Examples, key: str, seeds: range, keep: int
) -> tuple[dict[str, Any], list[TrialRecord]]:
    """Trains some seeds of both arms, keeps predictions and, of the first usable seeds, the models."""
    ledger = session.ledger
    ledger.touch_test("gain of the final recipe over the baseline")
    examples = test.to(session.problem.device)
    rows = torch.arange(len(test))
    distinct = {recipe.id: (name, recipe) for name, recipe in reversed(arms.items())}
    jobs = {
        (id_, index): Job(_member(session, recipe, index), rows)
        for id_, (_, recipe) in distinct.items()
        for index in seeds
    }
    results = dict(
        zip(
            jobs,
            session.train(list(jobs.values()), examples=examples, with_weights=True),
            strict=True,
        )
    )
    usable = [
        index for index in seeds if all(results[id_, index].score is not None for id_ in distinct)
    ]
    if usable:
        predictions = {}
        for name, recipe in arms.items():
            each = [results[recipe.id, index].predictions for index in usable]
            predictions[name] = torch.stack([p for p in each if p is not None]).contiguous()
        ledger.write_file(_predictions(key), save(predictions))
    for (name, recipe), index in itertools.product(arms.items(), usable[: max(0, keep)]):
        kept = from_outcome(session.problem, results[recipe.id, index].outcome)
        save_artifact(ledger, _artifact(name, index), kept)
    recipes = {name: recipe.to_dict() for name, recipe in arms.items()}
    ledger.write_file(_KEPT, json.dumps({"recipes": recipes}).encode())
    return {"usable": usable}, [
        record_of(
            result.outcome, "test", f"{distinct[id_][0]} #{index}", "test", holdout=result.score
        )
        for (id_, index), result in results.items()
    ]
