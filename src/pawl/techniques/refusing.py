"""Why a technique is not used on a task: it says so itself, or applying it changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Literal, get_args, get_origin

import torch
from annotated_types import Ge
from torch import nn

from pawl.errors import TaskError
from pawl.techniques.record import Facts, Settings, Technique
from pawl.techniques.registry import technique
from pawl.techniques.stages import ModelTechnique


def refusal(technique: Technique, facts: Facts) -> str | None:
    """Returns why a technique does not fit a task, or `None` if it does.

    A technique of the model stage is tried on a copy of the model: one that leaves it as it is, with any
    of its settings' literals and least numbers, would only be searched in vain. What raises is not
    refused here; its trials end with the reason.
    """
    if technique.name not in facts.refusals:
        reason = technique.fits(facts)
        if (
            not reason
            and isinstance(technique, ModelTechnique)
            and _changes_nothing(technique, facts)
        ):
            reason = "it changes nothing of this model"
        facts.refusals[technique.name] = reason
    return facts.refusals[technique.name]


def unfit(technique: Technique, settings: Settings, facts: Facts) -> str | None:
    """Returns why a technique with these settings does not fit a task, or `None` if it does."""
    return refusal(technique, facts) or technique.suits(settings, facts)


def check_recipe(facts: Facts, recipe: Iterable[tuple[Technique, Settings]]) -> None:
    """Checks that a recipe which the user gave fits the task.

    Raises:
        TaskError: A technique does not, or its settings do not; the message has the reason.
    """
    for t, settings in recipe:
        check_fit(facts, [t.name])
        reason = unfit(t, settings, facts)
        if reason:
            raise TaskError(f"technique {t.name!r} does not suit this task: {reason}")


def check_fit(facts: Facts, names: Iterable[str]) -> None:
    """Checks that techniques which the user named fit the task.

    Raises:
        TaskError: One does not; the message has the reason.
    """
    for name in names:
        reason = refusal(technique(name), facts)
        if reason:
            raise TaskError(f"technique {name!r} does not fit this task: {reason}; leave it out")


def _changes_nothing(technique: ModelTechnique, facts: Facts) -> bool:
    try:
        return all(_same(technique, settings, facts) for settings in _tried(technique.settings))
    except Exception:  # a user's may raise anything
        return False


def _tried(settings: type[Settings]) -> Iterator[Settings]:
    """Yields the default settings, then those with one other literal, or the least number, each."""
    yield settings()
    for name, field in settings.model_fields.items():
        if get_origin(field.annotation) is Literal:
            for value in get_args(field.annotation):
                if value != field.default:
                    yield settings(**{name: value})
            continue
        least = next((each.ge for each in field.metadata if isinstance(each, Ge)), field.default)
        if least != field.default:
            yield settings(**{name: least})


def _same(technique: ModelTechnique, settings: Settings, facts: Facts) -> bool:
    """Tells whether a model is the same with a technique: modules, shapes and values."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        after = technique.apply(copy.deepcopy(facts.module), settings, facts.sample)
    before = facts.module
    if str(after) != str(before) or _functions(after) != _functions(before):
        return False
    if len(list(after.parameters())) != len(list(before.parameters())):  # some don't train
        return False
    mine, theirs = before.state_dict(), after.state_dict()
    return mine.keys() == theirs.keys() and all(
        x.shape == theirs[name].shape and torch.equal(x, theirs[name]) for name, x in mine.items()
    )


def _functions(module: nn.Module) -> list[object]:
    """Returns what modules do in calls, where a technique wraps or hooks them, or sets numbers."""
    return [
        (
            type(each),
            each.__dict__.get("forward"),
            "train" in each.__dict__,  # held in evaluation
            len(each._forward_hooks),
            len(each._forward_pre_hooks),
            {n: x for n, x in vars(each).items() if type(x) in (int, float)},
        )
        for each in module.modules()
    ]
