"""Classes that count alike, however many rows they have, or as the user says."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field, field_validator
from torch import Tensor

from pawl.data.types import Schema
from pawl.errors import did_you_mean
from pawl.techniques.data._rows import classes_of, needs_classes
from pawl.techniques.record import Facts, Phase, Settings, number
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split

_SHOWN = 6


class ClassWeightsSettings(Settings):
    """Settings of `class_weights`."""

    exponent: float = number(
        1.0, 0.1, 1.0, "how far: at 1 all classes count alike, or as `weights` say"
    )
    weights: tuple[tuple[str, float], ...] = Field(
        (),
        description="classes' own weights, as in {yes = 3.0}; a class that is not named weighs 1",
        json_schema_extra={"searched": False},
    )

    @field_validator("weights", mode="before")
    @classmethod
    def _pairs(cls, given: Any) -> Any:
        return tuple((str(k), v) for k, v in given.items()) if isinstance(given, Mapping) else given

    @field_validator("weights")
    @classmethod
    def _positive(cls, given: tuple[tuple[str, float], ...]) -> Any:
        for name, weight in given:
            if not 0.0 < weight < math.inf:
                raise ValueError(f"a weight is a number above 0; that of {name!r} is {weight:g}")
        names = [name for name, _ in given]
        if len(set(names)) < len(names):
            raise ValueError("each class has one weight; one is named twice")
        return given


def class_weights(split: Split, settings: Any) -> Split:
    """Weighs each row by `w_c^exponent`: `w_c = R / (C R_c)`, or what `weights` say of its class.

    `R` training rows, `R_c` of the class, `C` classes. Weights that rows have already are multiplied.
    Probabilities are then those of classes that are as frequent as they count, so this is for metrics of
    decisions and ranks, and for errors that cost unlike, rather than for the log loss.
    """
    own = _given(split, settings.weights) if settings.weights else _balanced(split)
    weights = split.weights
    if weights is None:
        weights = torch.ones(len(split.examples))
    weights = weights.cpu().clone()
    weights[split.rows] *= (own**settings.exponent).float()
    return dataclasses.replace(split, weights=weights)


def _balanced(split: Split) -> Tensor:
    """Returns the weight of each training row by which all classes count alike, `[R]`."""
    codes, counts = classes_of(split)
    return (len(codes) / (len(counts) * counts.double()))[codes]


def _given(split: Split, weights: tuple[tuple[str, float], ...]) -> Tensor:
    """Returns the weight of each training row by what was said of its class, `[R]`."""
    assert split.schema is not None
    names = _names(split.schema)
    by_class = torch.ones(len(names), dtype=torch.float64)
    for name, weight in weights:
        by_class[names.index(name)] = weight
    return by_class[split.examples.known_targets[split.rows].cpu()]


def _names(schema: Schema) -> tuple[str, ...]:
    """Returns what classes are called, by number; where they have no names, by that."""
    return schema.classes or tuple(map(str, range(schema.num_outputs)))


def _suits(settings: Any, facts: Facts) -> str | None:
    names = _names(facts.schema)
    for name, _ in settings.weights:
        if name not in names:
            shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            hint = did_you_mean(name, names)
            return f"got a weight of class {name!r}{hint}, which is not there; classes are {shown}"
    return None


TECHNIQUE = DataTechnique(
    name="class_weights",
    summary="Weigh rows so that rare classes count as much as frequent ones, or as you say.",
    reference="King and Zeng, Logistic Regression in Rare Events Data, 2001",
    apply=class_weights,
    settings=ClassWeightsSettings,
    memberwise=frozenset({"exponent"}),
    phase=Phase.ROW_WEIGHTS,
    group="balancing",
    fits=needs_classes,
    suits=_suits,
)
