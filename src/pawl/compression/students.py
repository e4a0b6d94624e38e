"""Recipes of students: the network that is taught, and smaller ones of its kind."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch

from pawl.compression.candidate import Weights
from pawl.errors import PawlError
from pawl.models import Net
from pawl.recipe import Recipe
from pawl.techniques import technique
from pawl.training.problem import Problem
from pawl.training.trained import untrained

_FEW = 256
"""Rows that a network's front is fitted on, to count its weights."""
_WIDTHS = {0.5: "half the width", 0.25: "a quarter of the width"}


def leading(original: Weights) -> Recipe | None:
    """Returns the recipe with the largest share among those of networks; `None` if there is none."""
    shares: dict[str, float] = {}
    recipes = {r.id: r for r in original.recipes if r.learner is None}
    for recipe, part in zip(original.recipes, original.parts, strict=True):
        if recipe.id in recipes:
            shares[recipe.id] = shares.get(recipe.id, 0.0) + float(part["share"])
    return recipes[max(shares, key=lambda one: shares[one])] if shares else None


def smaller(problem: Problem, recipe: Recipe) -> list[Recipe]:
    """Returns recipes of networks that are smaller in one way each.

    Layers of half the width; of a network that pawl builds a hidden layer fewer, of a user's a block
    fewer. A user's own is made smaller where surgery knows what that takes. What has as many weights
    as before is none.

    Args:
        problem: The task.
        recipe: Of the network that is made smaller.
    """
    net, facts = problem.builder(0), problem.facts()
    own = not isinstance(net, Net)
    if own and problem.pretrained:
        return []
    given = recipe.to_dict()
    changes: dict[str, dict[str, Any]] = {"width": {"factor": _width(recipe) / 2}}
    if isinstance(net, Net):
        layers = int(given.get("depth", {"layers": net.shape.depth})["layers"])
        changes |= {"depth": {"layers": layers - 1}}
    elif "blocks" not in given:
        changes |= {"blocks": {"change": -1}}
    found = list[Recipe]()
    for name, settings in changes.items():
        if own and technique(name).fits(facts):
            continue
        with contextlib.suppress(PawlError):  # none so small, or the recipe has what excludes it
            plain = settings == {"factor": 1.0}
            found.append(recipe.without(name) if plain else recipe.with_(name, **settings))
    whole = _weights(problem, recipe)
    return [each for each in found if _weights(problem, each) < whole]


def _weights(problem: Problem, recipe: Recipe) -> float:
    """Returns how many weights a recipe's network has; infinitely many where it cannot be built."""
    rows = torch.arange(min(_FEW, len(problem.targets)))
    try:
        return float(untrained(problem, recipe, 0, rows).num_parameters)
    except Exception:  # of a user's model, and of techniques that do not fit it
        return math.inf


def told(recipe: Recipe, given: Recipe) -> str:
    """Returns what is to be said of a student: in what it is smaller than the network given."""
    said, mine, theirs = list[str](), recipe.to_dict(), given.to_dict()
    share = _width(recipe) / _width(given)
    if share != 1.0:
        said.append(_WIDTHS.get(share, f"{share:g} of the width"))
    if mine.get("depth") != theirs.get("depth"):
        said.append(f"{mine['depth']['layers']} hidden layer(s)")
    if mine.get("blocks") != theirs.get("blocks"):
        said.append("a block fewer")
    return f" of {' and '.join(said)}" if said else ""


def _width(recipe: Recipe) -> float:
    return float(recipe.to_dict().get("width", {"factor": 1.0})["factor"])
