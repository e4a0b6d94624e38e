"""Where a search starts: the baseline, and a few recipes that are known to be good."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from pawl.errors import RecipeError
from pawl.recipe import Recipe
from pawl.techniques import Facts, technique

_IMAGE_RANK = 3
_BATCHES = ((1000, 32), (3000, 64))
_BATCH = 128
_MANY_ROWS = 20_000
"""From so many on cheap recipes come first, and a whole cycle does not overfit."""
_MANY_FEATURES = 50
"""From so many on cheap recipes come first: bins and members multiply what a step costs."""


def baseline(facts: Facts) -> Recipe:
    """Returns what a competent person writes first.

    Inputs standardized, AdamW at 1e-3 with PyTorch's other defaults, batches of 128 (of a table: 64
    below 3,000 rows and 32 below 1,000, for enough steps), early stopping, the model plain.
    """
    size = _BATCH
    if not _are_images(facts):
        size = next((small for rows, small in _BATCHES if facts.num_rows < rows), size)
    tables: dict[str, dict[str, float]] = {
        "standardize": {},
        "batch_size": {"size": size},
        "adamw": {"learning_rate": 1e-3},
        "early_stopping": {},
    }
    if technique("standardize").fits(facts):
        del tables["standardize"]
    return Recipe.from_dict(tables)


def _scaled(recipe: Recipe) -> Recipe:
    """Adds standardization where nothing scales the inputs."""
    scaling = technique("standardize").group
    if any(t.group == scaling for t, _ in recipe):
        return recipe
    return recipe.with_("standardize")


def _with_rate(recipe: Recipe, rate: float, weight_decay: float) -> Recipe:
    """Sets AdamW's rate, given for batches of 128 and scaled by the root of the batch's size.

    Malladi et al., On the SDEs and Scaling Rules for Adaptive Gradient Algorithms, NeurIPS 2022.
    """
    scaled = float(f"{rate * math.sqrt(recipe.batch_size / _BATCH):.2g}")
    return recipe.with_("adamw", learning_rate=scaled, weight_decay=weight_decay)


def _smooth_cycle(start: Recipe) -> Recipe:
    """A higher learning rate that rises and falls to zero, with nothing to stop it half-way."""
    recipe = _with_rate(start, 4e-3, 0.03).with_("one_cycle")
    return recipe.without("early_stopping") if "early_stopping" in recipe else recipe


def _stopped(start: Recipe) -> Recipe:
    """The start with early stopping, for one that lacks it: what overfits has its best behind it."""
    return start.with_("early_stopping")


def _averaged(start: Recipe) -> Recipe:
    """The same with averaged weights: cheap and rarely worse."""
    return _smooth_cycle(start).with_("ema", horizon=60.0)


def _normalized_residual(start: Recipe) -> Recipe:
    """Deeper, with skip connections and batch normalization."""
    return _add(_smooth_cycle(start), residual={}, depth={"layers": 3}, batch_norm={})


def _encoded(start: Recipe) -> Recipe:
    """Numbers encoded by bins, as trees see them, over a whole cycle: for many rows."""
    return _add(_smooth_cycle(start), piecewise_linear={})


def _encoded_stopped(start: Recipe) -> Recipe:
    """Encoded, at the start's own rate, stopped early: few rows are soon overfitted by a whole cycle."""
    averaged = _stopped(start).with_("ema", horizon=60.0)
    return _add(averaged, piecewise_linear={"bins": 8}, dropout={"rate": 0.1})


def _members(start: Recipe) -> Recipe:
    """Encoded, with many predictors in one network, which overfit less than one does."""
    return _add(_smooth_cycle(start), piecewise_linear={"bins": 8}, layer_norm={}, tabm={})


def _members_stopped(start: Recipe) -> Recipe:
    """Fewer predictors, at the start's own rate, stopped early."""
    return _add(_stopped(start), piecewise_linear={"bins": 8}, tabm={"members": 8})


def _wide_dropout(start: Recipe) -> Recipe:
    """Wider, and held back by dropout."""
    return _add(
        _with_rate(_smooth_cycle(start), 2e-3, 0.03),
        width={"factor": 2.0},
        dropout={"rate": 0.15},
        activation={"function": "gelu"},
    )


def _mixed(start: Recipe) -> Recipe:
    """Mixtures of rows, layer normalization, averaged weights."""
    return _add(_averaged(start), mixup={"alpha": 0.2}, layer_norm={})


def _shifted_images(start: Recipe) -> Recipe:
    """Batch normalization, skip connections, one cycle, smaller batches and shifted images."""
    return _add(
        _with_rate(_smooth_cycle(start).with_("batch_size", size=64), 8.5e-3, 0.05),
        batch_norm={},
        residual={},
        random_crop={},
    )


def _mirrored_images(start: Recipe) -> Recipe:
    """The same with images mirrored and labels smoothed."""
    return _add(_shifted_images(start), flip={}, label_smoothing={"amount": 0.05})


def _wide_images(start: Recipe) -> Recipe:
    """The same with twice the channels."""
    return _add(_shifted_images(start), width={"factor": 2.0})


def starts(start: Recipe, facts: Facts, only: Collection[str] | None = None) -> tuple[Recipe, ...]:
    """Returns recipes known to be good for such a task, the given one left out.

    Techniques that do not fit the task or are not among `only` are taken out of them; what is then
    equal to another recipe is left out. The first is the one most likely to be worth a short budget.
    """
    makers: tuple[Callable[[Recipe], Recipe], ...]
    if _are_images(facts):
        makers = (_shifted_images, _stopped, _mirrored_images, _wide_images, _averaged)
    else:
        first = (_members, _normalized_residual, _members_stopped, _encoded_stopped)
        if facts.num_rows >= _MANY_ROWS:
            first = (_encoded, _encoded_stopped, _members_stopped, _members)
        elif _is_mixed(facts):
            first = (_members_stopped, _encoded_stopped, _members, _normalized_residual)
        elif _is_wide(facts):
            first = (_normalized_residual, _encoded_stopped, _members_stopped, _members)
        makers = (*first, _stopped, _averaged, _wide_dropout, _mixed)
    found: list[Recipe] = []
    for make in makers:
        recipe = fitting(_scaled(make(start)), facts)
        for change in recipe.changes(start):
            if only is not None and change.name not in only:
                recipe = recipe.revert(change, start)
        if recipe != start and recipe not in found:
            found.append(recipe)
    return tuple(found)


def _is_mixed(facts: Facts) -> bool:
    """Tells whether a table has categories or gaps beside its numbers, so numbers of many kinds."""
    return any(spec.cardinalities or any(spec.missing) for spec in facts.schema.inputs)


def _is_wide(facts: Facts) -> bool:
    return sum(len(spec.features) for spec in facts.schema.inputs) >= _MANY_FEATURES


def _are_images(facts: Facts) -> bool:
    return any(len(spec.shape) == _IMAGE_RANK for spec in facts.schema.inputs)


def fitting(recipe: Recipe, facts: Facts) -> Recipe:
    """Returns the recipe without the techniques that do not fit the task."""
    for t, _ in recipe:
        if t.fits(facts):
            recipe = recipe.without(t.name)
    return recipe


def _add(recipe: Recipe, **tables: dict[str, object]) -> Recipe:
    for name, values in tables.items():
        try:
            recipe = recipe.with_(name, **values)
        except RecipeError:  # excluded by what the user's own baseline has
            continue
    return recipe
