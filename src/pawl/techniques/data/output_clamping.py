"""Predictions within the range of the training targets."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from pawl.kinds import KINDS
from pawl.techniques.record import Facts, Settings, number
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split


class OutputClampingSettings(Settings):
    """Settings of `output_clamping`."""

    tail: float = number(
        0.0, 0.0, 0.1, "share of the training targets beyond the limits, either way"
    )


def output_clamping(split: Split, settings: Any) -> Split:
    """Predicts nothing below the least and above the largest training target.

    Or below and above the quantiles `tail` and `1 - tail`. Training does not know of it.
    """
    targets = split.examples.known_targets[split.rows].double()
    at = torch.tensor([settings.tail, 1.0 - settings.tail], dtype=torch.float64)
    low, high = torch.quantile(targets, at.to(targets.device), dim=0).float()
    return dataclasses.replace(split, limits=(low, high))


def _fits(facts: Facts) -> str | None:
    kind = KINDS[facts.schema.kind]
    if not kind.scaled or kind.has_places:
        return "it needs rows whose targets are values"
    return None


TECHNIQUE = DataTechnique(
    name="output_clamping",
    summary="Keep predicted values within the range of the training targets.",
    reference="Holzmueller et al., Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on "
    "Tabular Data, 2024, section 3",
    apply=output_clamping,
    settings=OutputClampingSettings,
    memberwise=frozenset({"tail"}),
    fits=_fits,
)
