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
from pawl.evidence.arms import Arm, Training
from pawl.evidence.constant import constant_predictions, has_value
from pawl.evidence.pairs import Pairs
from pawl.execution import STOPPING_SHARE, Heartbeat, Job, Session, record_of
from pawl.ledger import TrialRecord, Unit
from pawl.training.population import Member
from pawl.training.trained import KeptModel, Trained, from_outcome, save_models

Arms = Mapping[str, Arm]
"""Baseline and final arm, which may be the same."""
_Model = tuple[str, str]  # an id of a training or an arm, and a label


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
    session: Session,
    pairs: Pairs | None,
    units: Iterable[Unit],
    arm: Arm,
    label: str,
    most: int | None = None,
) -> Trained:
    """Returns a model of one of these rounds by its label; `most` is that of `of_seeds`."""
    source, _, number = label.partition(" ")
    if source == "pair":
        assert pairs is not None
        return pairs.load(arm, int(number))
    key = next(unit.key for unit in units if label in unit.payload["counted"])
    path = session.ledger.folder / models_file(key)
    models = [
        KeptModel(
            path, _name(training.id, label), session.problem,
            _member(session, training, int(number), most).train,
        )
        for training in arm.trainings
    ]  # fmt: skip
    return arm.predictor([each.load() for each in models])


def of_pairs(
    session: Session, arms: Arms, test: Examples, key: str, pairs: Pairs
) -> tuple[dict[str, Any], list[TrialRecord]]:
    """Scores the kept models of the confirmation on the test rows.

    They are paired, and none has seen the test rows. Nothing is trained.
    """
    session.ledger.touch_test("gain of the final recipe over the baseline")
    distinct = {arm.id: arm for arm in arms.values()}
    judged = [pairs.judged.get(id_, {}) for id_ in distinct]
    numbers = [n for n in range(pairs.keep) if all(n in each for each in judged)]
    here = {(id_, n) for id_, arm in distinct.items() for n in pairs.kept(arm) if n in numbers}
    models = sorted(here)

    work = [
        functools.partial(_predicted, arm, pairs.models(arm, n), test, session.problem.device)
        for arm, n in ((distinct[id_], n) for id_, n in models)
    ]
    predicted = dict(zip(models, session.trainer.spread(work), strict=True)) if work else {}
    found = {
        (id_, label_of("pair", n)): (
            predicted.get((id_, n)),
            pairs.rows(arm, n),
        )
        for id_, arm in distinct.items()
        for n in numbers
    }
    return _counted(session, arms, test, key, [label_of("pair", n) for n in numbers], found), []


def _predicted(
    arm: Arm, models: Sequence[KeptModel], rows: Examples, device: torch.device, _: Heartbeat
) -> Tensor:
    return arm.predictor([each.load() for each in models]).predict(rows, device)


def of_seeds(
    session: Session,
    arms: Arms,
    test: Examples,
    key: str,
    seeds: Sequence[int],
    keep: Mapping[str, int],
    most: int | None = None,
) -> tuple[dict[str, Any], list[TrialRecord]]:
    """Trains both arms on all development rows with paired seeds, and scores the test rows.

    Args:
        session: The campaign's.
        arms: What is compared.
        test: The test rows.
        key: The unit's.
        seeds: Numbers of the seeds.
        keep: Most models to keep, by arm.
        most: Rows that a training takes at most; of more, others for each seed.
    """
    ledger, problem = session.ledger, session.problem
    ledger.touch_test("gain of the final recipe over the baseline")
    rows = torch.arange(len(test))
    distinct = {
        training.id: (name, training)
        for name, arm in reversed(list(arms.items()))
        for training in arm.trainings
    }
    jobs = {
        (id_, label_of("seed", n)): Job(_member(session, training, n, most), rows, keep=True)
        for id_, (_, training) in distinct.items()
        for n in seeds
    }
    done = session.trainer.train(list(jobs.values()), examples=test.to(problem.device))
    results = dict(zip(jobs, done, strict=True))
    labels = [label_of("seed", n) for n in seeds]
    found = {}
    for arm in {arm.id: arm for arm in arms.values()}.values():
        for label in labels:
            each = [results[training.id, label] for training in arm.trainings]
            parts = [
                r.predictions for r in each if r.score is not None and r.predictions is not None
            ]
            train = torch.cat([jobs[training.id, label].member.train for training in arm.trainings])
            whole = len(parts) == len(each)
            found[arm.id, label] = (arm.combined(parts) if whole else None, torch.unique(train))
    payload = _counted(session, arms, test, key, labels, found)
    kept = {
        _name(training.id, label): from_outcome(problem, results[training.id, label].outcome)
        for name, arm in arms.items()
        for label in payload["usable"][name][: max(0, keep[name])]
        for training in arm.trainings
    }
    if kept:
        save_models(ledger, models_file(key), kept)
    return payload, [
        record_of(
            result.outcome, "test", f"{distinct[id_][0]} #{label.split()[1]}", "test",
            holdout=result.score, extra={"arm": distinct[id_][0]},
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
        arms: What is compared.
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
        label for label in labels if all(every[arm.id, label] is not None for arm in arms.values())
    ]
    if counted:
        stacks = {}
        for name, arm in arms.items():
            each = [every[arm.id, label] for label in counted]
            stacks[name] = torch.stack([p for p in each if p is not None]).contiguous()
        ledger.write_file(predictions_file(key), save(stacks))
    return {
        "counted": counted,
        "usable": {
            name: [label for label in counted if good(found[arm.id, label][0])]
            for name, arm in arms.items()
        },
    }


def _name(training_id: str, label: str) -> str:
    return f"{training_id} {label}"


def _member(session: Session, training: Training, number: int, most: int | None) -> Member:
    targets = session.problem.targets
    train, valid = split_rows(
        targets,
        session.problem.schema.kind,
        STOPPING_SHARE,
        session.rows.derive("test", "stopping", number),
        rows=session.rows.some(torch.arange(len(targets)), "test", number, most=most),
        blocks=session.problem.blocks,
    )
    seed = session.rows.derive("test", "seed", number)
    length = max(1, round(session.epochs * training.length))
    return session.rows.member(training.recipe, seed, train, valid, length)
