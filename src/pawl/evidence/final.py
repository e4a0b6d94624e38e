"""The final claim: baseline and final recipe on the test rows, touched once and on record."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch
from safetensors.torch import load
from torch import Tensor

from pawl.data.types import Examples
from pawl.errors import TrialError
from pawl.evidence.arms import arm_of, to_dict
from pawl.evidence.constant import constant_predictions, has_value, nothing_learned
from pawl.evidence.gain import TestGain, gain_on_test
from pawl.evidence.last_value import last_values
from pawl.evidence.pairs import Compared, Pairs
from pawl.evidence.rounds import Arms, model_of, of_pairs, of_seeds, predictions_file, usable
from pawl.execution import Session
from pawl.ledger import Ledger, TrialRecord, Unit
from pawl.training.trained import Trained, blended

_KEPT = "artifacts/kept.json"


@dataclass(frozen=True)
class FinalTest:
    """What the test rows say.

    Attributes:
        result: Gain, baseline and final with their intervals.
        baseline: The mean of the first usable baseline models.
        final: The mean of the first usable models of the final recipe: what is deployed.
        records: The trainings of these arms, whatever they were first for.
        models: Number of pairs of models.
        averaged: How many models `baseline` and `final` are the mean of.
        nothing_learned: By arm: why what is kept of it learned nothing; without the arms that did.
        last_value: What is deployed against the last value of a series; `None` where rows do not see
            those before them, or the metric has no value for it.
    """

    result: TestGain
    baseline: Trained
    final: Trained
    records: tuple[TrialRecord, ...]
    models: int
    averaged: int
    nothing_learned: Mapping[str, str] = field(default_factory=dict)
    last_value: TestGain | None = None


def final_test(
    session: Session,
    baseline: Compared,
    final: Compared,
    test: Examples,
    seeds: int,
    more: Callable[[int, float], int] | None = None,
    *,
    average: int = 1,
    pairs: Pairs | None = None,
    most: int | None = None,
) -> FinalTest:
    """Scores models of both arms on the test rows, and keeps what is to be deployed.

    The confirmation's models come first: each pair shares fold and seed, and trained on all development
    rows but its fold, so that several have seen every row. What lacks trains anew, on all development
    rows, with paired seeds. A training that fails counts as the constant predictor of its training rows;
    a pair is left out only where the metric has no value for that either.

    Args:
        session: The campaign's.
        baseline: One arm.
        final: The other; it may be the same.
        test: The test rows.
        seeds: Paired seeds that are trained together; 0 for none.
        more: Is told how many pairs of models there are and what the last ones took (seconds per seed),
            and returns how many to train next; 0 ends the test. It sees the clock, not results.
        average: Most models of an arm that are kept, to predict by their mean. A single one is of all
            development rows, where there is one.
        pairs: The confirmation's, if there was one.
        most: Development rows that a training takes at most; all by default.

    Raises:
        TrialError: No training of an arm gave a usable model.
    """
    arms = {"baseline": arm_of(baseline), "final": arm_of(final)}
    effort = _Effort(average, most)
    units, records = _models(session, arms, test, seeds, more, effort, pairs)
    if pairs is not None:
        pairs.drop_models(but=list(arms.values()))
    kept = _kept(units, arms, average, records)
    kept_arms = {name: to_dict(arm) for name, arm in arms.items()}
    session.ledger.write_file(_KEPT, json.dumps(kept_arms).encode())
    counted, stored = _predictions(session.ledger, units, arms)
    places = {name: [counted.index(label) for label in each] for name, each in kept.items()}
    targets = test.known_targets.cpu()
    problem = session.problem
    result = gain_on_test(
        problem.objective, stored["baseline"], stored["final"], targets,
        kept=(places["baseline"], places["final"]),
        units=None if test.blocks is None else test.blocks.units,
    )  # fmt: skip
    constant = constant_predictions(problem.schema, problem.targets, len(targets))
    means = {name: stored[name][places[name]].mean(0) for name in arms}
    reasons = {
        name: nothing_learned(problem.objective, mean, targets, constant)
        for name, mean in means.items()
    }
    models = {
        name: blended(
            [model_of(session, pairs, units, arms[name], label, most) for label in labels]
        )
        for name, labels in kept.items()
    }
    return FinalTest(
        result=result,
        baseline=models["baseline"],
        final=models["final"],
        records=tuple(records),
        models=len(counted),
        averaged=len(kept["final"]),
        nothing_learned={name: reason for name, reason in reasons.items() if reason},
        last_value=_against_last_value(session, test, means["final"]),
    )


class _Effort(NamedTuple):
    """How many models are kept, and the rows that a training takes at most; see `final_test`."""

    average: int
    most: int | None


def _models(
    session: Session,
    arms: Arms,
    test: Examples,
    seeds: int,
    more: Callable[[int, float], int] | None,
    effort: _Effort,
    pairs: Pairs | None,
) -> tuple[list[Unit], list[TrialRecord]]:
    """Scores the confirmation's models on the test rows, then trains what lacks; see `final_test`.

    Returns:
        A unit for each round, and the trainings of these arms.
    """
    same = arms["baseline"].id == arms["final"].id
    ledger, units, records = session.ledger, list[Unit](), list[TrialRecord]()
    if pairs is not None and pairs.keep:
        session.listener.phase("test", "the confirmed models on the test rows")
        work = partial(of_pairs, session, arms, test, "test/pairs", pairs)
        units.append(ledger.compute("test/pairs", "test", work))
        ids = {each.recipe.id for arm in arms.values() for each in arm.trainings}
        records += [r for r in pairs.records if r.recipe_id in ids and r.epochs == session.epochs]
    done, count = sum(len(unit.payload["counted"]) for unit in units), seeds
    if not all(usable(units, name) for name in arms):
        count = max(1, count)
    trained = 0
    while count:
        session.listener.phase("test", _described(trained, count, same=same))
        key, average = f"test/{len(units)}", effort.average
        keep = {name: average - len(usable(units, name)[:average]) for name in arms}
        if average == 1:
            keep = dict.fromkeys(arms, 1)
        seeds_now = range(trained, trained + count)
        work = partial(of_seeds, session, arms, test, key, seeds_now, keep, effort.most)
        units.append(ledger.compute(key, "test", work))
        session.note(units[-1].trials)
        records += units[-1].trials
        per_seed = units[-1].seconds / count
        trained, done = trained + count, done + count
        count = 0 if more is None else ledger.decide(f"{key}/more", partial(more, done, per_seed))
    return units, records


def _predictions(
    ledger: Ledger, units: Sequence[Unit], arms: Arms
) -> tuple[list[str], dict[str, Tensor]]:
    """Returns the labels of the pairs that count, and each arm's predictions of the test rows."""
    counted = [label for unit in units for label in unit.payload["counted"]]
    rounds = [
        load(ledger.read_file(predictions_file(u.key))) for u in units if u.payload["counted"]
    ]
    return counted, {name: torch.cat([each[name] for each in rounds]) for name in arms}


def _against_last_value(session: Session, test: Examples, final: Tensor) -> TestGain | None:
    problem = session.problem
    naive = last_values(problem.schema, problem.examples, test)
    targets = test.known_targets.cpu()
    if naive is None or not has_value(problem.objective, naive, targets):
        return None
    return gain_on_test(
        problem.objective, naive.unsqueeze(0), final.unsqueeze(0), targets,
        units=None if test.blocks is None else test.blocks.units,
    )  # fmt: skip


def _kept(
    units: Sequence[Unit], arms: Arms, average: int, records: Sequence[TrialRecord]
) -> dict[str, list[str]]:
    """Returns the labels of the models that are kept, of both arms as many.

    Raises:
        TrialError: An arm has none.
    """
    found = {name: usable(units if average > 1 else units[::-1], name) for name in arms}
    for name in arms:
        if not found[name]:
            reasons = {trial.reason for trial in records if trial.reason}
            why = "; ".join(sorted(reasons)) or "its predictions of the test rows are not finite"
            same = arms["baseline"].id == arms["final"].id
            which = "final model" if same else f"model of the {name} recipe"
            raise TrialError(f"no {which} could be trained ({why}); check the model and the data")
    count = min(average, *(len(each) for each in found.values()))
    return {name: each[:count] for name, each in found.items()}


def _described(done: int, count: int, *, same: bool) -> str:
    seeds = f"seed {done + 1}" if count == 1 else f"seeds {done + 1} to {done + count}"
    arms = "the recipe" if same else "baseline and final"
    return f"{seeds} of {arms} on the test rows"
