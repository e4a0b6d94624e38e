"""Learners beside networks: which a task gets, and a first fit of each, which says what it takes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from pawl.errors import TaskError, option
from pawl.execution import Job, Session, over_folds, record_of
from pawl.ledger import TrialRecord
from pawl.modalities import modality_of
from pawl.recipe import Recipe
from pawl.techniques import Facts, refusal, techniques
from pawl.training.population import Member

NETS = "nets"
"""The family of all that trains by steps."""
_AT_ONCE = 2
_SHARE, _LEAST_SECONDS = 0.08, 1.0
"""Of the time left that a first fit may take, and the least seconds that it is given."""
_ALL = 0.1
"""Of the time left that all first fits may take; those that come late are then not tried."""
_OF_FEW, _ALL_OF_FEW = 2.5, 0.15
"""Times a fit's share, and all fits', where trainings take a part of very many rows: trees lead then."""


def families() -> tuple[str, ...]:
    """Returns the names of all families of models."""
    fitted = {t.family for t in techniques() if t.stage.value == "fit" and t.family}
    return (NETS, *sorted(fitted))


def check_families(wanted: Collection[str] | None) -> None:
    """Checks the names of families.

    Raises:
        TaskError: There is none of such a name.
    """
    unknown = [name for name in wanted or () if name not in families()]
    if unknown:
        raise TaskError(
            f"got the family {unknown[0]!r} of models; allowed are {', '.join(families())}"
        )


def fitting_learners(facts: Facts, wanted: Collection[str] | None = None) -> tuple[Recipe, ...]:
    """Returns the learners that a task gets, in the order in which they are tried.

    Args:
        facts: Of the task.
        wanted: Families. By default all that fit a table; of a user's own model networks alone.

    Raises:
        TaskError: There is no such family, or none of those wanted fits the task.
    """
    check_families(wanted)
    if wanted is None and facts.own_model:
        return ()
    known = modality_of(facts.schema).learners(facts)
    reasons, found = dict[str, str](), list[Recipe]()
    for recipe in known:
        learner = recipe.learner
        assert learner is not None
        if wanted is not None and learner.family not in wanted:
            continue
        reason = next((r for t, _ in recipe if (r := refusal(t, facts))), None)
        if reason:
            reasons[learner.family] = reason
        else:
            found.append(recipe)
    if wanted is not None and NETS not in wanted and not found:
        why = next(iter(reasons.values()), "they take tables")
        raise TaskError(
            f"got {option('families', ','.join(wanted))}, and none of them fits this task ({why}); "
            f"give {NETS} as well"
        )
    return tuple(found)


def try_learners(session: Session, recipes: Sequence[Recipe], folds: int = 1) -> list[TrialRecord]:
    """Fits each learner on the search's rows, once for each fold.

    Few at a time, in their order, each for a share of the time that is left then, and all for a share of
    what is left before them. What takes too long, or fails, goes no further.

    Returns:
        The trials of those that ended well, in order.
    """
    found: list[TrialRecord] = []
    ledger, before = session.ledger, session.clock.left
    times = 1.0 if session.rows.most is None else _OF_FEW
    for start in range(0, len(recipes), _AT_ONCE):
        if before is not None:
            spent = ledger.decide(f"learners/{start}/late", partial(_spent, session, before))
            if spent > (_ALL if times == 1.0 else _ALL_OF_FEW):
                break
        chosen = recipes[start : start + _AT_ONCE]
        names = [recipe.learner.name for recipe in chosen if recipe.learner]
        key = f"learners/{'+'.join(recipe.id for recipe in chosen)}"
        if session.cut_short(key):
            break
        session.listener.phase("learners", " and ".join(dict.fromkeys(names)))
        left = session.clock.left
        found += try_together(
            session, key, chosen, None if left is None else times * _SHARE * left, folds
        )
    return found


def try_together(
    session: Session, key: str, recipes: Sequence[Recipe], seconds: float | None, folds: int = 1
) -> list[TrialRecord]:
    """Fits learners on the search's rows at the same time, as one unit of the ledger.

    Args:
        session: The campaign's.
        key: The unit's name.
        recipes: The learners'.
        seconds: That each may take; a little more is always given.
        folds: Fits of each.

    Returns:
        The trials of those that ended well.
    """
    unit = session.attempt(key, "learners", partial(_tried, session, recipes, seconds, folds))
    if unit is None:
        return []
    session.note(unit.trials)
    return [trial for trial in unit.trials if trial.status == "completed"]


def _spent(session: Session, before: float) -> float:
    """Returns which share of the time that was left is gone."""
    assert session.clock.left is not None
    return 1.0 - session.clock.left / before if before > 0 else 1.0


def _tried(
    session: Session, recipes: Sequence[Recipe], seconds: float | None, folds: int
) -> tuple[dict[str, Any], list[TrialRecord]]:
    splits, seed = session.rows.searched(folds), session.rows.derive("learners")
    each_seconds = None if seconds is None else max(_LEAST_SECONDS, seconds / folds)
    results = session.trainer.train(
        [
            Job(Member(recipe, seed, train, valid, session.epochs), seconds=each_seconds)
            for recipe in recipes
            for train, valid in splits
        ]
    )
    outcomes = [result.outcome for result in results]
    each = [outcomes[i : i + folds] for i in range(0, len(outcomes), folds)]
    names = [recipe.learner.name for recipe in recipes if recipe.learner]
    return {}, [
        record_of(over_folds(own), "learners", name, "search", extra={"arm": name})
        for own, name in zip(each, names, strict=True)
    ]
