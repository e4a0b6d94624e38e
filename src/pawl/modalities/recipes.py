"""Changes of a recipe that are known to be good, whatever the inputs."""

from __future__ import annotations

import math

from pawl.errors import RecipeError
from pawl.recipe import Recipe
from pawl.techniques import Facts, technique

BATCH = 128


def competent(facts: Facts, batch: int) -> Recipe:
    """Returns what a competent person writes first, with batches of such a size.

    Inputs standardized, AdamW at 1e-3 with PyTorch's other defaults, early stopping, the model plain.
    """
    tables: dict[str, dict[str, float]] = {
        "standardize": {},
        "batch_size": {"size": batch},
        "adamw": {"learning_rate": 1e-3},
        "early_stopping": {},
    }
    if technique("standardize").fits(facts):
        del tables["standardize"]
    return Recipe.from_dict(tables)


def scaled(recipe: Recipe) -> Recipe:
    """Adds standardization where nothing scales the inputs."""
    scaling = technique("standardize").group
    if any(t.group == scaling for t, _ in recipe):
        return recipe
    return recipe.with_("standardize")


def with_rate(recipe: Recipe, rate: float, weight_decay: float) -> Recipe:
    """Sets AdamW's rate, given for batches of 128 and scaled by the root of the batch's size.

    Malladi et al., On the SDEs and Scaling Rules for Adaptive Gradient Algorithms, NeurIPS 2022.
    """
    scaled = float(f"{rate * math.sqrt(recipe.batch_size / BATCH):.2g}")
    return recipe.with_("adamw", learning_rate=scaled, weight_decay=weight_decay)


def smooth_cycle(start: Recipe) -> Recipe:
    """A higher learning rate that rises and falls to zero, with nothing to stop it half-way."""
    recipe = with_rate(start, 4e-3, 0.03).with_("one_cycle")
    return recipe.without("early_stopping") if "early_stopping" in recipe else recipe


def stopped(start: Recipe) -> Recipe:
    """The start with early stopping, for one that lacks it: what overfits has its best behind it."""
    return start.with_("early_stopping")


def averaged(start: Recipe) -> Recipe:
    """The same with averaged weights: cheap and rarely worse."""
    return smooth_cycle(start).with_("ema", horizon=60.0)


def transferred(start: Recipe) -> list[Recipe]:
    """Ways of training a model that comes with weights, from the most to the least that moves."""
    cycle = smooth_cycle(start)
    return [
        add(with_rate(cycle, 1e-3, 0.03), discriminative_rates={}),
        add(with_rate(start, 4e-3, 0.01), linear_probe={}),
        add(with_rate(cycle, 1e-3, 0.03), l2_sp={}, frozen_normalization={}),
        add(with_rate(cycle, 2e-3, 0.01), low_rank_adapters={}),
        add(with_rate(cycle, 1e-3, 0.03), gradual_unfreezing={}),
    ]


def add(recipe: Recipe, **tables: dict[str, object]) -> Recipe:
    """Adds techniques with their settings, without those that the recipe excludes."""
    for name, values in tables.items():
        try:
            recipe = recipe.with_(name, **values)
        except RecipeError:
            continue
    return recipe
