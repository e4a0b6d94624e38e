"""Where a search starts: the baseline, and a few recipes that are known to be good."""

from __future__ import annotations

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


def _smooth_cycle(start: Recipe) -> Recipe:
    """A higher learning rate that rises and falls, and averaged weights: cheap and rarely worse."""
    return (
        start.with_("adamw", learning_rate=4e-3, weight_decay=0.03)
        .with_("one_cycle")
        .with_("ema", horizon=60.0)
    )


def _normalized_residual(start: Recipe) -> Recipe:
    """Deeper, with skip connections and batch normalization."""
    return _add(_smooth_cycle(start), residual={}, depth={"layers": 3}, batch_norm={})


def _wide_dropout(start: Recipe) -> Recipe:
    """Wider, and held back by dropout."""
    return _add(
        start.with_("adamw", learning_rate=2e-3).with_("cosine"),
        width={"factor": 2.0},
        dropout={"rate": 0.15},
        activation={"function": "gelu"},
    )


def _mixed(start: Recipe) -> Recipe:
    """Mixtures of rows and averaged weights."""
    return _add(_smooth_cycle(start), mixup={"alpha": 0.2}, layer_norm={})


def _small_batches(start: Recipe) -> Recipe:
    """More steps for the same rows."""
    return _smooth_cycle(start).with_("batch_size", size=32).with_("adamw", learning_rate=2e-3)


def _normalized_images(start: Recipe) -> Recipe:
    """Batch normalization, skip connections, one cycle and shifted images."""
    return _add(
        start.with_("adamw", learning_rate=8e-3, weight_decay=0.05)
        .with_("one_cycle")
        .with_("batch_size", size=64),
        batch_norm={},
        residual={},
    )


def _cropped_images(start: Recipe) -> Recipe:
    """The same with images shifted and mirrored, and smoothed labels."""
    return _add(
        _normalized_images(start), random_crop={}, flip={}, label_smoothing={"amount": 0.05}
    )


def _wide_images(start: Recipe) -> Recipe:
    """The same with twice the channels, and shifted images."""
    return _add(_normalized_images(start), width={"factor": 2.0}, random_crop={})


def starts(start: Recipe, facts: Facts) -> tuple[Recipe, ...]:
    """Returns recipes known to be good for such a task, the given one left out.

    Techniques that do not fit the task are taken out of them; what is then equal to another recipe
    is left out.
    """
    images = any(len(spec.shape) == _IMAGE_RANK for spec in facts.schema.inputs)
    if images:
        makers = (_normalized_images, _cropped_images, _wide_images, _smooth_cycle)
    else:
        makers = (_normalized_residual, _wide_dropout, _small_batches, _mixed)
    found: list[Recipe] = []
    for make in makers:
        recipe = fitting(make(start), facts)
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
