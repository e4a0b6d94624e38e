"""A diagnosis: what was measured of data and of one training, and what the rules find in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from pawl.data import LoadedData
from pawl.diagnosing import rules
from pawl.diagnosing.finding import Finding
from pawl.diagnosing.measuring import measured
from pawl.diagnosing.record import Training
from pawl.diagnosing.watching import watch
from pawl.errors import PawlError
from pawl.execution import OutOfTime, Session, reason_of
from pawl.ledger import Ledger, TrialRecord, Unit
from pawl.recipe import Recipe
from pawl.training.population import Member

UNIT = "diagnosis"
_SHARE = 0.04
"""Of the seconds that a campaign has left, a diagnosis takes so many at most."""
_LEAST_SECONDS = 30.0
"""A campaign that has fewer left measures data without trees, and watches no training."""


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        findings: The gravest first.
        training: The training that was watched; `None` if none was.
        reason: Why none was.
    """

    findings: tuple[Finding, ...]
    training: Training | None = None
    reason: str = ""


def diagnosed(
    session: Session, data: LoadedData, recipe: Recipe, seconds: float | None = None
) -> Diagnosis:
    """Measures data and a training of a recipe, on the rows of the search.

    Args:
        session: Whose rows and length of a training.
        data: The task's.
        recipe: What is trained; of a learner only the data is measured.
        seconds: How long the training may take; it is cut short then.
    """
    facts = measured(data)
    found = rules.of_data(facts)
    if recipe.learner is not None:
        return Diagnosis(tuple(rules.settled(found)), reason="a learner is not watched")
    train, valid = session.rows.search
    member = Member(recipe, session.rows.derive("diagnosis"), train, valid, session.epochs)
    run = watch(session.problem, member, heartbeat=session.heartbeat, seconds=seconds)
    found += rules.of_training(run, facts)
    return Diagnosis(tuple(rules.settled(found)), run, run.reason)


def in_campaign(session: Session, data: LoadedData, recipe: Recipe) -> tuple[Finding, ...]:
    """Returns the findings on a campaign's baseline, which its ledger keeps.

    With a budget a diagnosis has a small share of it, and where little is left only data is measured.
    """
    session.listener.phase("diagnose", "the data, and a training of the baseline")
    unit = session.ledger.compute(UNIT, UNIT, partial(_computed, session, data, recipe))
    return _of(unit)


def _computed(
    session: Session, data: LoadedData, recipe: Recipe
) -> tuple[dict[str, Any], list[TrialRecord]]:
    try:
        found = _affordable(session, data, recipe)
    except (PawlError, OutOfTime):
        raise
    except Exception as error:  # a campaign does not fail by what looks on
        found = Diagnosis((), reason=reason_of(error))
    return {
        "findings": [each.to_dict() for each in found.findings],
        "training": None if found.training is None else found.training.to_dict(),
        "reason": found.reason,
    }, []


def _affordable(session: Session, data: LoadedData, recipe: Recipe) -> Diagnosis:
    """Returns a diagnosis in a small share of what is left of the budget, or of the data alone."""
    left = session.clock.left
    if left is not None and left < _LEAST_SECONDS:
        found = rules.of_data(measured(data, trees=False))
        return Diagnosis(tuple(rules.settled(found)), reason="too little of the budget is left")
    return diagnosed(session, data, recipe, None if left is None else _SHARE * left)


def recorded(ledger: Ledger) -> tuple[Finding, ...]:
    """Returns the findings that a campaign's ledger keeps."""
    unit = ledger.unit(UNIT)
    return () if unit is None else _of(unit)


def suggested(findings: tuple[Finding, ...]) -> frozenset[str]:
    """Returns the techniques that findings which are more than a remark suggest."""
    grave = [each for each in findings if each.severity != "info"]
    return frozenset(name for each in grave for name in each.suggests)


def _of(unit: Unit) -> tuple[Finding, ...]:
    return tuple(Finding.from_dict(each) for each in unit.payload["findings"])
