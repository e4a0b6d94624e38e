"""Classes that count alike, however many rows they have."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from pawl.techniques.data._rows import classes_of, needs_classes
from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split


class ClassWeightsSettings(Settings):
    """Settings of `class_weights`."""

    exponent: float = number(1.0, 0.1, 1.0, "how far: at 1 all classes count alike")


def class_weights(split: Split, settings: Any) -> Split:
    """Weighs each row by `(R / (C R_c))^exponent`: `R` training rows, `R_c` of its class, `C` classes.

    Weights that rows have already are multiplied. Probabilities are then those of classes that are as
    frequent as they count, so this is for metrics of decisions and ranks rather than for the log loss.
    """
    codes, counts = classes_of(split)
    balanced = (len(codes) / (len(counts) * counts.double())) ** settings.exponent
    weights = split.weights
    if weights is None:
        weights = torch.ones(len(split.examples))
    weights = weights.cpu().clone()
    weights[split.rows] *= balanced.float()[codes]
    return dataclasses.replace(split, weights=weights)


TECHNIQUE = DataTechnique(
    name="class_weights",
    summary="Weigh rows so that rare classes count as much as frequent ones.",
    reference="King and Zeng, Logistic Regression in Rare Events Data, 2001",
    apply=class_weights,
    settings=ClassWeightsSettings,
    memberwise=frozenset({"exponent"}),
    phase=Phase.ROW_WEIGHTS,
    group="balancing",
    fits=needs_classes,
)
