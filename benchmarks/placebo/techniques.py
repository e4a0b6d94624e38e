"""Placebo techniques: they change what a training comes to, and in expectation nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pawl import rng
from pawl.data.types import Inputs
from pawl.techniques import (
    LossTechnique,
    LossTerm,
    ModelTechnique,
    Settings,
    Targets,
    number,
    register,
)


class RedrawSettings(Settings):
    """Settings of the redrawing placebos."""

    draw: int = number(1, 1, 4, "which permutation")


def redraw(module: nn.Module, settings: Any, sample: Inputs, *, turn: int) -> nn.Module:
    """Permutes the initial entries of every other weight matrix.

    Entries are drawn independently from one distribution, so a permutation of them is as likely as they
    are: with and without it a model is the same in distribution, and differs as much as by another seed.
    """
    del sample
    matrices = [p for p in module.parameters() if p.dim() > 1]
    for index, weights in enumerate(matrices[turn::2]):
        generator = torch.Generator().manual_seed(rng.derive_seed("redraw", settings.draw, index))
        order = torch.randperm(weights.numel(), generator=generator)
        with torch.no_grad():
            weights.copy_(weights.flatten()[order].view_as(weights))
    return module


class ScaleSettings(Settings):
    """Settings of `placebo_scale`."""

    dose: float = number(1.0, 0.1, 10.0, "millionths that the loss is scaled by")


def scale(loss: LossTerm, settings: Any) -> LossTerm:
    """Multiplies the loss by `1 + 1e-6 * dose`."""

    def scaled(outputs: Any, targets: Targets, weights: Mapping[str, Tensor]) -> Tensor:
        factor: Tensor = 1.0 + 1e-6 * settings.dose
        return factor * loss(outputs, targets, weights)

    return scaled


_REDRAWS = [
    ModelTechnique(
        name=f"placebo_{name}",
        summary=f"Permute the initial entries of the {name} weight matrices.",
        reference="Beecher, The Powerful Placebo, 1955",
        apply=partial(redraw, turn=turn),
        settings=RedrawSettings,
    )
    for turn, name in enumerate(("even", "odd"))
]
_SCALE = LossTechnique(
    name="placebo_scale",
    summary="Scale the loss by next to nothing.",
    reference="Beecher, The Powerful Placebo, 1955",
    apply=scale,
    settings=ScaleSettings,
    memberwise=frozenset({"dose"}),
)
PLACEBOS = ("placebo_even", "placebo_odd", "placebo_scale")


def join() -> None:
    """Registers the placebos for this process."""
    for technique in (*_REDRAWS, _SCALE):
        register(technique)
