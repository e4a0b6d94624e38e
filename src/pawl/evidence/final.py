"""The final claim: baseline and final recipe on the test rows, touched once and on record."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from pawl.data import split_rows
from pawl.data.types import Examples
from pawl.errors import TrialError
from pawl.evidence.constant import constant_predictions, has_value, nothing_learned
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
        baseline: The mean of the first seeds' usable baseline models.
        final: The mean of the first seeds' usable models of the final recipe: what is deployed.
        records: The trainings.
        seeds: Number of paired seeds.
        averaged: How many models `baseline` and `final` are the mean of.
        nothing_learned: By arm: why what is kept of it learned nothing; without the arms that did.
    """

    result: TestGain
    baseline: Trained
    final: Trained
    records: tuple[TrialRecord, ...]
    seeds: int
    averaged: int
    nothing_learned: Mapping[str, str] = field(default_factory=dict)


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

    A training that fails counts as the constant predictor of its training rows; a seed is left out
    only where the metric has no value for that either.

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
        TrialError: No seed of an arm trained to a usable model.
    """
    arms = {"baseline": baseline, "final": final}
    ledger, units = session.ledger, list[Unit]()
    done, count = 0, seeds
    while count:
        session.listener.phase("test", _described(done, count, same=baseline == final))
        key = f"test/{len(units)}"
        keep = {name: average - len(_usable(units, name)[:average]) for name in arms}
        work = partial(_train, session, arms, test, key, range(done, done + count), keep)
        units.append(ledger.compute(key, "test", work))
        session.note(units[-1].trials)
        done, per_seed = done + count, units[-1].seconds / count
        count = 0 if more is None else ledger.decide(f"{key}/more", partial(more, done, per_seed))
    records = tuple(trial for unit in units for trial in unit.trials)
    usable = {name: _usable(units, name) for name in arms}
    for name in arms:
        if not usable[name]:
            reasons = {trial.reason for trial in records if trial.reason}
            found = "; ".join(sorted(reasons)) or "its predictions of the test rows are not finite"
            which = "final model" if baseline == final else f"model of the {name} recipe"
            raise TrialError(f"no {which} could be trained ({found}); check the model and the data")
    num_kept = min(average, *(len(each) for each in usable.values()))
    kept = {name: each[:num_kept] for name, each in usable.items()}
    counted = [seed for unit in units for seed in unit.payload["counted"]]
    places = {name: [counted.index(seed) for seed in each] for name, each in kept.items()}
    rounds = [load(ledger.read_file(_predictions(u.key))) for u in units if u.payload["counted"]]
    stored = {name: torch.cat([each[name] for each in rounds]) for name in arms}
    assert test.targets is not None
    targets = test.targets.cpu()
    problem = session.problem
    result = gain_on_test(
        problem.objective, stored["baseline"], stored["final"], targets,
        kept=(places["baseline"], places["final"]),
    )  # fmt: skip
    constant = constant_predictions(problem.schema, problem.targets, len(targets))
    reasons_by_arm = {
        name: nothing_learned(
            problem.objective, stored[name][places[name]].mean(0), targets, constant
        )
        for name in arms
    }
    models = {
        name: averaged(
            [
                load_artifact(
                    ledger, _artifact(name, index), problem, _member(session, recipe, index).train
                )
                for index in kept[name]
            ]
        )
        for name, recipe in arms.items()
    }
    return FinalTest(
        result=result,
        baseline=models["baseline"],
        final=models["final"],
        records=records,
        seeds=len(counted),
        averaged=num_kept,
        nothing_learned={name: reason for name, reason in reasons_by_arm.items() if reason},
    )


def _described(done: int, count: int, *, same: bool) -> str:
    seeds = f"seed {done + 1}" if count == 1 else f"seeds {done + 1} to {done + count}"
    arms = "the recipe" if same else "baseline and final"
    return f"{seeds} of {arms} on the test rows"


def _usable(units: Iterable[Unit], arm: str) -> list[int]:
    """Returns the numbers of the seeds of which an arm ended with a usable model."""
    return list(itertools.chain.from_iterable(unit.payload["usable"][arm] for unit in units))


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
    session: Session,
    arms: dict[str, Recipe],
    test: Examples,
    key: str,
    seeds: range,
    keep: Mapping[str, int],
) -> tuple[dict[str, Any], list[TrialRecord]]:
    """Trains some seeds of both arms, keeps predictions and the models of each arm's first usable seeds.

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
    examples = test.to(problem.device)
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

    def predicted(job: tuple[str, int]) -> Tensor | None:
        predictions = results[job].predictions
        if results[job].score is not None and predictions is not None:
            return predictions
        assert test.targets is not None
        trained = problem.targets.cpu()[jobs[job].member.train.cpu()]
        constant = constant_predictions(problem.schema, trained, len(test))
        return constant if has_value(problem.objective, constant, test.targets.cpu()) else None

    found = {job: predicted(job) for job in jobs}
    counted = [index for index in seeds if all(found[id_, index] is not None for id_ in distinct)]
    usable = {
        name: [index for index in counted if results[recipe.id, index].score is not None]
        for name, recipe in arms.items()
    }
    if counted:
        predictions = {}
        for name, recipe in arms.items():
            each = [found[recipe.id, index] for index in counted]
            predictions[name] = torch.stack([p for p in each if p is not None]).contiguous()
        ledger.write_file(_predictions(key), save(predictions))
    for name, recipe in arms.items():
        for index in usable[name][: max(0, keep[name])]:
            kept = from_outcome(problem, results[recipe.id, index].outcome)
            save_artifact(ledger, _artifact(name, index), kept)
    recipes = {name: recipe.to_dict() for name, recipe in arms.items()}
    ledger.write_file(_KEPT, json.dumps({"recipes": recipes}).encode())
    return {"counted": counted, "usable": usable}, [
        record_of(
            result.outcome, "test", f"{distinct[id_][0]} #{index}", "test", holdout=result.score
        )
        for (id_, index), result in results.items()
    ]
