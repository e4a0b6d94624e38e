"""Arms: what evidence compares and a bundle holds.

An arm says what is trained for one model of it, and how what was trained predicts. Comparisons and the
final test know nothing else of it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import tomli_w
import torch
from torch import Tensor

from pawl.models import Corrected, tempered
from pawl.recipe import Recipe
from pawl.training.trained import Trained, blended, stacked


@dataclass(frozen=True)
class Training:
    """One training of a model of an arm; of each pair of folds and seeds there is one.

    Attributes:
        recipe: What is trained.
        length: Relative to the campaign's trainings.
    """

    recipe: Recipe
    length: float = 1.0

    @property
    def id(self) -> str:
        """Equal for equal trainings, which arms share."""
        return self.recipe.id if self.length == 1.0 else f"{self.recipe.id} x{self.length:.3f}"


class Arm(Protocol):
    """How one model of an arm is made of trainings that share rows and seed."""

    @property
    def id(self) -> str:
        """Equal for equal arms, in every process."""

    @property
    def trainings(self) -> tuple[Training, ...]:
        """What is trained for one model; at least one."""

    def combined(self, predictions: Sequence[Tensor]) -> Tensor:
        """Returns what the arm predicts, `[R, *P]`, given what each training does, `[R, *P]`."""

    def predictor(self, models: Sequence[Trained]) -> Trained:
        """Returns what predicts that, given each training's model."""


@dataclass(frozen=True)
class Single:
    """The arm of a recipe: one training, which predicts by itself.

    Attributes:
        recipe: The recipe.
        length: Of its trainings, relative to the campaign's; for comparisons at equal time.
    """

    recipe: Recipe
    length: float = 1.0

    @property
    def id(self) -> str:
        """The training's."""
        return self.trainings[0].id

    @property
    def trainings(self) -> tuple[Training, ...]:
        """The one."""
        return (Training(self.recipe, self.length),)

    def combined(self, predictions: Sequence[Tensor]) -> Tensor:
        """Returns the one prediction."""
        (only,) = predictions
        return only

    def predictor(self, models: Sequence[Trained]) -> Trained:
        """Returns the one model."""
        (only,) = models
        return only


@dataclass(frozen=True)
class Blend:
    """The arm of several recipes, one model of each: predicts the weighted mean of what they predict.

    Attributes:
        recipes: At least one.
        weights: Of each, positive; they count relative to their sum. Equal by default.
        temperature: What the mean of probabilities of classes is tempered by, `softmax(log p / T)`; 1
            for nothing.
        shift: What the logarithm of the second of two classes then gets, so that one half is the
            threshold with the best metric; 0 for nothing.

    Example:
        >>> import torch
        >>> from pawl.recipe import Recipe
        >>> from pawl.evidence import Blend
        >>> table = {"batch_size": {"size": 64}, "adamw": {"learning_rate": 1e-3}}
        >>> first = Recipe.from_dict(table)
        >>> second = first.with_("ema")
        >>> arm = Blend((first, second), (3.0, 1.0))
        >>> arm.combined([torch.zeros(2), torch.ones(2)])
        tensor([0.2500, 0.2500])
    """

    recipes: tuple[Recipe, ...]
    weights: tuple[float, ...] = ()
    temperature: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        if not self.recipes:
            raise ValueError("got a blend of no recipes; give at least one")
        if self.weights and (
            len(self.weights) != len(self.recipes) or not all(w > 0 for w in self.weights)
        ):
            raise ValueError(
                f"got the weights {self.weights} for {len(self.recipes)} recipes; give one above 0 each"
            )

    @property
    def shares(self) -> tuple[float, ...]:
        """The weights, relative to their sum."""
        weights = self.weights or (1.0,) * len(self.recipes)
        return tuple(weight / sum(weights) for weight in weights)

    @property
    def id(self) -> str:
        """Depends on recipes, shares, temperature and shift."""
        parts = [f"{r.id} {share:.6f}" for r, share in zip(self.recipes, self.shares, strict=True)]
        parts += [] if self.temperature == 1.0 else [f"temperature {self.temperature:.6f}"]
        parts += [] if self.shift == 0.0 else [f"shift {self.shift:.6f}"]
        return f"blend {hashlib.sha256(' + '.join(parts).encode()).hexdigest()[:12]}"

    @property
    def trainings(self) -> tuple[Training, ...]:
        """One of each recipe."""
        return tuple(Training(recipe) for recipe in self.recipes)

    def combined(self, predictions: Sequence[Tensor]) -> Tensor:
        """Returns the weighted mean, tempered and shifted."""
        first, *others = (p * w for p, w in zip(predictions, self.shares, strict=True))
        total = first
        for each in others:
            total = total + each
        if not self.is_adjusted:
            return total
        return tempered(total, self.temperature, self.shift if self.shift else None)

    def predictor(self, models: Sequence[Trained]) -> Trained:
        """Returns the models as one that predicts their weighted mean, tempered and shifted."""
        temperature = None if self.temperature == 1.0 else self.temperature
        return blended(models, self.shares, temperature, self.shift if self.shift else None)

    @property
    def is_adjusted(self) -> bool:
        """Whether there is a temperature or a shift."""
        return self.temperature != 1.0 or self.shift != 0.0

    @property
    def unadjusted(self) -> Arm:
        """The same without temperature and shift."""
        if len(self.recipes) == 1:
            return Single(self.recipes[0])
        return replace(self, temperature=1.0, shift=0.0)

    def without(self, recipe: Recipe) -> Arm:
        """Returns the blend of the others, with the weights, temperature and shift that they have."""
        left = [(r, w) for r, w in zip(self.recipes, self.shares, strict=True) if r != recipe]
        recipes, weights = zip(*left, strict=True)
        blend = Blend(recipes, weights, self.temperature, self.shift)
        return blend if self.is_adjusted else blend.unadjusted


@dataclass(frozen=True)
class Stacked:
    """The arm of several recipes whose weighted mean is corrected by trees that see all they predict.

    Attributes:
        recipes: At least one, each once.
        shares: Of each, positive and summing to one.
        classes: How many there are; 0 where values are predicted.
        trees: As `pawl.models.Corrected` writes them.
    """

    recipes: tuple[Recipe, ...]
    shares: tuple[float, ...]
    classes: int
    trees: str

    def __post_init__(self) -> None:
        if not self.recipes or len(self.recipes) != len(self.shares):
            raise ValueError(
                f"got {len(self.shares)} shares for {len(self.recipes)} recipes; give one each"
            )
        _ = self.corrected

    @functools.cached_property
    def corrected(self) -> Corrected:
        """What combines the predictions."""
        found = Corrected(self.shares, self.classes)
        found.read(self.trees)
        return found

    @property
    def id(self) -> str:
        """Depends on recipes, shares and trees."""
        parts = [f"{r.id} {share:.6f}" for r, share in zip(self.recipes, self.shares, strict=True)]
        told = f"{' + '.join(parts)} {self.classes} {self.trees}"
        return f"stack {hashlib.sha256(told.encode()).hexdigest()[:12]}"

    @property
    def trainings(self) -> tuple[Training, ...]:
        """One of each recipe."""
        return tuple(Training(recipe) for recipe in self.recipes)

    def combined(self, predictions: Sequence[Tensor]) -> Tensor:
        """Returns the mean, corrected."""
        found: Tensor = self.corrected(torch.stack(list(predictions)))
        return found

    def predictor(self, models: Sequence[Trained]) -> Trained:
        """Returns the models as one that predicts that."""
        return stacked(models, self.corrected)

    @property
    def is_adjusted(self) -> bool:
        """Always: there are trees."""
        return True

    @property
    def unadjusted(self) -> Arm:
        """The weighted mean alone."""
        return Blend(self.recipes, self.shares)


def lead(arm: Arm) -> Recipe:
    """Returns the recipe that says most of an arm: the network with the largest share, if it has one."""
    shares = arm.shares if isinstance(arm, Blend | Stacked) else (1.0,)
    recipes = [training.recipe for training in arm.trainings]
    each = zip(recipes, shares, strict=True)
    return max(each, key=lambda one: (one[0].learner is None, one[1]))[0]


def to_dict(arm: Arm) -> dict[str, Any]:
    """Returns an arm's recipe as tables, or of a blend a list of them with their shares, `member`.

    A blend that is tempered or shifted has `temperature` or `shift` in front, one that trees correct
    these, `trees`, and the number of `classes`.
    """
    adjusted: dict[str, Any] = {}
    if isinstance(arm, Stacked):
        adjusted = {"classes": arm.classes, "trees": arm.trees}
    elif not isinstance(arm, Blend):
        return lead(arm).to_dict()
    else:
        adjusted |= {} if arm.temperature == 1.0 else {"temperature": arm.temperature}
        adjusted |= {} if arm.shift == 0.0 else {"shift": arm.shift}
    return {
        **adjusted,
        "member": [
            {"share": round(share, 6), "recipe": recipe.to_dict()}
            for recipe, share in zip(arm.recipes, arm.shares, strict=True)
        ],
    }


def from_dict(tables: Mapping[str, Any]) -> Arm:
    """Returns the arm that `to_dict` wrote."""
    if "member" not in tables:
        return Single(Recipe.from_dict(tables))
    recipes = tuple(Recipe.from_dict(each["recipe"]) for each in tables["member"])
    shares = tuple(float(each["share"]) for each in tables["member"])
    if "trees" in tables:
        return Stacked(recipes, shares, int(tables["classes"]), str(tables["trees"]))
    temperature, shift = float(tables.get("temperature", 1.0)), float(tables.get("shift", 0.0))
    return Blend(recipes, shares, temperature, shift)


def to_toml(arm: Arm) -> str:
    """Returns an arm as TOML; see `to_dict`."""
    return tomli_w.dumps(to_dict(arm))


def arm_of(given: Recipe | Arm) -> Arm:
    """Returns the arm that is compared: of a recipe, that of its own models."""
    return Single(given) if isinstance(given, Recipe) else given
