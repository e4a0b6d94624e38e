"""Rounds of the final test: models on the test rows, those of the confirmation's pairs or fresh ones.

A round's models have labels: `pair 3`, or `seed 0`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from pawl.data import split_rows
from pawl.data.types import Examples
from pawl.evidence.constant import constant_predictions, has_value
from pawl.evidence.pairs import Pairs
from pawl.execution import STOPPING_SHARE, Heartbeat, Job, Session, record_of
from pawl.ledger import TrialRecord, Unit
from pawl.recipe import Recipe
from pawl.training.population import Member
from pawl.training.trained import Trained, from_outcome, load_model, predictions, save_models

Arms = Mapping[str, Recipe]
"""Baseline and final recipe, which may be the same."""
_Model = tuple[str, str]  # a recipe's id and a label


def label_of(source: str, number: int) -> str:
    """Returns a model's label: its source is `pair` or `seed`."""
    return f"{source} {number}"


def predictions_file(key: str) -> str:
    """Returns the name of the file with a round's predictions of the test rows."""
    return f"artifacts/{key.replace('/', '-')}-predictions.safetensors"


def models_file(key: str) -> str:
    """Returns the name of the file with a round's models, if it trained any."""
    return f"artifacts/{key.replace('/', '-')}-models.safetensors"


def usable(units: Iterable[Unit], arm: str) -> list[str]:
    """Returns the labels of an arm's usable models."""
    return [label for unit in units for label in unit.payload["usable"][arm]]


def model_of(
    session: Session, pairs: Pairs | None, units: Iterable[Unit], recipe: Recipe, label: str
) -> Trained:
    """Returns a model of one of these rounds by its label."""
    source, _, number = label.partition(" ")
    if source == "pair":
        assert pairs is not None
        return pairs.load(recipe, int(number))
    key = next(unit.key for unit in units if label in unit.payload["counted"])
    rows = _member(session, recipe, int(number)).train
    name = _name(recipe.id, label)
    return load_model(session.ledger, models_file(key), name, session.problem, rows)


def of_pairs(
    session: Session, arms: Arms, test: Examples, key: str, pairs: Pairs
) -> tuple[dict[str, Any], list[TrialRecord]]:
    """Scores the kept models of the confirmation on the test rows.

    They are paired, and none has seen the test rows. Nothing is trained.
    """
    session.ledger.touch_test("gain of the final recipe over the baseline")
    recipes = {recipe.id: recipe for recipe in arms.values()}
    judged = [pairs.judged.get(id_, {}) for id_ in recipes]
    numbers = [n for n in range(pairs.keep) if all(n in arm for arm in judged)]
    here = {(id_, n) for id_, recipe in recipes.items() for n in pairs.kept(recipe) if n in numbers}
    models = sorted(here)

    def piece(id_: str, number: int, _: Heartbeat) -> Tensor:
        return predictions(pairs.load(recipes[id_], number), test, session.problem.device)

    work = [functools.partial(piece, *model) for model in models]
    predicted = dict(zip(models, session.trainer.spread(work), strict=True)) if work else {}
    found = {
        (id_, label_of("pair", n)): (
            predicted.get((id_, n)),
            pairs.member(recipes[id_], n).train,
        )
        for id_ in recipes
        for n in numbers
    }
    return _counted(session, arms, test, key, [label_of("pair", n) for n in numbers], found), []


def of_seeds(
    session: Session,
    arms: Arms,
    test: Examples,
    key: str,
    seeds: Sequence[int],
    keep: Mapping[str, int],
) -> tuple[dict[str, Any], list[TrialRecord]]:
    """Trains both arms on all development rows with paired seeds, and scores the test rows.

    Args:
        session: The campaign's.
        arms: The recipes.
        test: The test rows.
        key: The unit's.
        seeds: Numbers of the seeds.
        keep: Most models to keep, by arm.
    """
    ledger, problem = session.ledger, session.problem
    ledger.touch_test("gain of the final recipe over the baseline")
    rows = torch.arange(len(test))
    distinct = {recipe.id: (name, recipe) for name, recipe in reversed(list(arms.items()))}
    jobs = {
        (id_, label_of("seed", n)): Job(_member(session, recipe, n), rows, keep=True)
        for id_, (_, recipe) in distinct.items()
        for n in seeds
    }
    done = session.trainer.train(list(jobs.values()), examples=test.to(problem.device))
    results = dict(zip(jobs, done, strict=True))
    found = {
        model: (result.predictions if result.score is not None else None, jobs[model].member.train)
        for model, result in results.items()
    }
    payload = _counted(session, arms, test, key, [label_of("seed", n) for n in seeds], found)
    kept = {
        _name(recipe.id, label): from_outcome(problem, results[recipe.id, label].outcome)
        for name, recipe in arms.items()
        for label in payload["usable"][name][: max(0, keep[name])]
    }
    if kept:
        save_models(ledger, models_file(key), kept)
    return payload, [
        record_of(
            result.outcome, "test", f"{distinct[id_][0]} #{label.split()[1]}", "test",
            holdout=result.score,
        )
        for (id_, label), result in results.items()
    ]  # fmt: skip


def _counted(
    session: Session,
    arms: Arms,
    test: Examples,
    key: str,
    labels: Sequence[str],
    found: Mapping[_Model, tuple[Tensor | None, Tensor]],
) -> dict[str, Any]:
    """Leaves predictions that count in a file; returns their labels, and the usable ones by arm.

    Args:
        session: The campaign's.
        arms: The recipes.
        test: The test rows.
        key: The unit's.
        labels: Of the round's models.
        found: Their predictions, `None` where one failed, and their training rows.
    """
    problem, ledger = session.problem, session.ledger
    assert test.targets is not None
    targets = test.targets.cpu()

    def good(predicted: Tensor | None) -> bool:
        return predicted is not None and has_value(problem.objective, predicted, targets)

    def counts(model: _Model) -> Tensor | None:
        predicted, train = found[model]
        if good(predicted):
            return predicted
        trained = problem.targets.cpu()[train.cpu()]
        constant = constant_predictions(problem.schema, trained, len(test))
        return constant if has_value(problem.objective, constant, targets) else None

    every = {model: counts(model) for model in found}
    counted = [
        label
        for label in labels
        if all(every[recipe.id, label] is not None for recipe in arms.values())
    ]
    if counted:
        stacks = {}
        for name, recipe in arms.items():
            each = [every[recipe.id, label] for label in counted]
            stacks[name] = torch.stack([p for p in each if p is not None]).contiguous()
        ledger.write_file(predictions_file(key), save(stacks))
    return {
        "counted": counted,
        "usable": {
            name: [label for label in counted if good(found[recipe.id, label][0])]
            for name, recipe in arms.items()
        },
    }


def _name(recipe_id: str, label: str) -> str:
    return f"{recipe_id} {label}"


def _member(session: Session, recipe: Recipe, number: int) -> Member:
    train, valid = split_rows(
        session.problem.targets,
        session.problem.schema.kind,
        STOPPING_SHARE,
        session.rows.derive("test", "stopping", number),
    )
    seed = session.rows.derive("test", "seed", number)
    return session.rows.member(recipe, seed, train, valid, session.epochs)
