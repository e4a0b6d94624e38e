"""All techniques by name: those of this package, found by walking it, and those a user registers.

A module joins by defining `TECHNIQUE`; nothing else has to be edited.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Iterable

from pawl.errors import RecipeError, did_you_mean
from pawl.techniques.record import STAGES, Stage, Technique
from pawl.techniques.stages import DataTechnique, UpdateTechnique

_REGISTERED: dict[str, Technique] = {}


@functools.cache
def _shipped() -> dict[str, Technique]:
    package = importlib.import_module("pawl.techniques")
    found: dict[str, Technique] = {}
    for info in pkgutil.walk_packages(package.__path__, "pawl.techniques."):
        module = importlib.import_module(info.name)
        technique = getattr(module, "TECHNIQUE", None)
        if isinstance(technique, Technique):
            if technique.name in found:
                raise RecipeError(f"two modules define the technique {technique.name!r}")
            family = info.name.split(".")[2]
            found[technique.name] = dataclasses.replace(technique, family=family)
    return found


def register(technique: Technique) -> Technique:
    """Adds a technique of your own for this process.

    Raises:
        RecipeError: Its name is taken.
    """
    if technique.name in _shipped() or technique.name in _REGISTERED:
        raise RecipeError(
            f"a technique named {technique.name!r} exists already; give yours another name"
        )
    _REGISTERED[technique.name] = technique
    return technique


def unregister(name: str) -> None:
    """Takes a technique that was registered out again; unknown names are ignored."""
    _REGISTERED.pop(name, None)


def technique(name: str) -> Technique:
    """Returns a technique by name.

    Raises:
        RecipeError: There is none of that name; the message has the closest one.
    """
    found = _REGISTERED.get(name) or _shipped().get(name)
    if found is None:
        hint = did_you_mean(name, [*_shipped(), *_REGISTERED])
        raise RecipeError(f"unknown technique {name!r}{hint}; `pawl techniques` lists all")
    return found


def techniques() -> tuple[Technique, ...]:
    """Returns all techniques, in the order of the stages, then by name."""
    everything = {**_shipped(), **_REGISTERED}.values()
    return tuple(sorted(everything, key=lambda t: (STAGES.index(t.stage), t.name)))


def ordered(chosen: Iterable[Technique]) -> tuple[Technique, ...]:
    """Returns techniques in the order in which they act.

    Stages come in their order, inside a stage phases, inside a phase names.

    Raises:
        RecipeError: Two techniques exclude each other.
    """
    pool = sorted(chosen, key=lambda t: t.name)
    for index, first in enumerate(pool):
        for second in pool[index + 1 :]:
            _check_pair(first, second)
    return tuple(sorted(pool, key=lambda t: (STAGES.index(t.stage), t.phase)))


def excludes(first: Technique, second: Technique) -> bool:
    """Tells whether two techniques cannot be combined (symmetric): they say so, or by their stages.

    What fits in one go takes no steps, so only what acts on rows goes with it. An optimizer that has
    the weights for evaluations in its state would not see what else changes or averages weights.
    """
    stages = {first.stage, second.stage}
    by_rows = any(isinstance(t, DataTechnique) and not t.in_loss for t in (first, second))
    apart = any(isinstance(t, UpdateTechnique) and t.evaluated for t in (first, second))
    return (
        (Stage.FIT in stages and not by_rows)
        or (apart and bool(stages & {Stage.WEIGHTS, Stage.AVERAGE}))
        or (first.group is not None and first.group == second.group)
        or second.name in first.conflicts
        or first.name in second.conflicts
    )


def _check_pair(first: Technique, second: Technique) -> None:
    if first.name == second.name:
        raise RecipeError(f"technique {first.name!r} is given twice; give it once")
    if excludes(first, second):
        shared = first.group if first.group == second.group else None
        raise RecipeError(
            f"techniques {first.name!r} and {second.name!r} exclude each other"
            + (f" (a recipe has at most one {shared.replace('_', ' ')})" if shared else "")
            + "; keep one of them"
        )
