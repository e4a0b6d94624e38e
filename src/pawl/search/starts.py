"""Where a search starts: the baseline, and a few recipes that are known to be good."""

from __future__ import annotations

from collections.abc import Collection

from pawl.errors import RecipeError
from pawl.recipe import Recipe
from pawl.techniques import Facts, technique

_IMAGE_RANK = 3


def baseline(facts: Facts) -> Recipe:
    """Returns what a competent person writes first.

    Inputs standardized, AdamW at 1e-3 with PyTorch's other defaults, batches of 128, early
    stopping, the model plain.
    """
    tables: dict[str, dict[str, float]] = {
        "standardize": {},
        "batch_size": {"size": 128},
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


def _smooth_cycle(start: Recipe) -> Recipe:
    """A higher learning rate that rises and falls to zero, with nothing to stop it half-way."""
    recipe = start.with_("adamw", learning_rate=4e-3, weight_decay=0.03).with_("one_cycle")
    return recipe.without("early_stopping") if "early_stopping" in recipe else recipe


def _averaged(start: Recipe) -> Recipe:
    """The same with averaged weights: cheap and rarely worse."""
    return _smooth_cycle(start).with_("ema", horizon=60.0)


def _normalized_residual(start: Recipe) -> Recipe:
    """Deeper, with skip connections and batch normalization."""
    return _add(_smooth_cycle(start), residual={}, depth={"layers": 3}, batch_norm={})


def _wide_dropout(start: Recipe) -> Recipe:
    """Wider, and held back by dropout."""
    return _add(
        _smooth_cycle(start).with_("adamw", learning_rate=2e-3),
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
        _smooth_cycle(start)
        .with_("adamw", learning_rate=6e-3, weight_decay=0.05)
        .with_("batch_size", size=64),
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
    equal to another recipe is left out.
    """
    images = any(len(spec.shape) == _IMAGE_RANK for spec in facts.schema.inputs)
    if images:
        makers = (_shifted_images, _mirrored_images, _wide_images, _averaged)
    else:
        makers = (_normalized_residual, _averaged, _wide_dropout, _mixed)
    found: list[Recipe] = []
    for make in makers:
        recipe = fitting(_scaled(make(start)), facts)
        for change in recipe.changes(start):
            if only is not None and change.name not in only:
                recipe = recipe.revert(change, start)
        if recipe != start and recipe not in found:
            found.append(recipe)
    return tuple(found)


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
