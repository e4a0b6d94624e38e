"""Re-tuning the learning rate of an arm, so that an ablation is not judged at another's rate."""

from __future__ import annotations

from collections.abc import Mapping

from pawl.execution import Job, Session, record_of
from pawl.ledger import TrialRecord
from pawl.recipe import Recipe
from pawl.training.population import Member

_FACTORS = (1 / 3, 1.0, 3.0)
_SEEDS = 2


def retuned(session: Session, arms: Mapping[str, Recipe]) -> dict[str, Recipe]:
    """Returns each arm at the best of three learning rates: its own, a third and three times that.

    Rates are compared on the search's split, by the mean validation score of two seeds; the holdouts
    that verdicts come from are not touched.
    """
    session.listener.phase("retune", f"learning rates of {len(arms)} arms")
    unit = session.attempt("retune", "retune", lambda: ({}, _train(session, arms)))
    if unit is None:
        return dict(arms)
    session.note(unit.trials)
    sign = session.problem.objective.sign
    best: dict[str, Recipe] = {}
    for name, recipe in arms.items():
        totals: dict[float, float] = {}
        for trial in unit.trials:
            if trial.extra["arm"] == name:
                factor = trial.extra["factor"]
                score = float("-inf") if trial.score is None else sign * trial.score
                totals[factor] = totals.get(factor, 0.0) + score
        # At equal scores the arm's own rate stays.
        winner = max(totals, key=lambda f: (totals[f], f == 1.0))
        best[name] = _at(recipe, winner)
    return best


def num_trainings(arms: int) -> int:
    """Returns how many trainings re-tuning takes."""
    return arms * len(_FACTORS) * _SEEDS


def _at(recipe: Recipe, factor: float) -> Recipe:
    """Returns the recipe with its learning rate multiplied, inside the technique's bounds."""
    name = recipe.optimizer
    settings = recipe.settings(name)
    rate = settings.model_dump()["learning_rate"] * factor
    bounds = type(settings).model_json_schema()["properties"]["learning_rate"]
    rate = min(bounds["maximum"], max(bounds["minimum"], rate))
    return recipe if factor == 1.0 else recipe.with_(name, learning_rate=rate)


def _train(session: Session, arms: Mapping[str, Recipe]) -> list[TrialRecord]:
    train, valid = session.rows.search
    jobs, whose = [], []
    for name, recipe in arms.items():
        for factor in _FACTORS:
            for index in range(_SEEDS):
                seed = session.rows.derive("retune", index)
                jobs.append(Job(Member(_at(recipe, factor), seed, train, valid, session.epochs)))
                whose.append((name, factor))
    results = session.trainer.train(jobs)
    return [
        record_of(
            result.outcome,
            "retune",
            f"{name} x{factor:.3g}",
            "search",
            extra={"arm": name, "factor": factor},
        )
        for result, (name, factor) in zip(results, whose, strict=True)
    ]
