"""Images `[C, H, W]`: pawl's convolutional network, and starts with augmentations."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from pawl.data.types import ModelSpec, Schema
from pawl.modalities.modality import Modality
from pawl.modalities.recipes import (
    BATCH,
    add,
    averaged,
    competent,
    smooth_cycle,
    stopped,
    with_rate,
)
from pawl.models import ImageNet, TabularNet
from pawl.recipe import Recipe
from pawl.techniques import Facts

_RANK = 3


class Images(Modality):
    """Inputs among which there are images, whatever they were read from."""

    name = "image"

    def takes(self, schema: Schema) -> bool:
        """Takes data with an input of three axes."""
        return any(len(spec.shape) == _RANK for spec in schema.inputs)

    def net(self, spec: ModelSpec) -> nn.Module:
        """Returns a small convolutional network; a perceptron where there are other inputs too."""
        return ImageNet(spec) if len(spec.inputs) == 1 else TabularNet(spec)

    def baseline(self, facts: Facts) -> Recipe:
        """Returns the competent recipe."""
        return competent(facts, BATCH)

    def starts(self, start: Recipe, facts: Facts) -> Sequence[Recipe]:
        """Returns known recipes, shifted images first."""
        makers = (_shifted_images, stopped, _mirrored_images, _wide_images, _deep_images, averaged)
        return [make(start) for make in makers]


def _shifted_images(start: Recipe) -> Recipe:
    """Batch normalization, skip connections, one cycle, smaller batches and shifted images."""
    return add(
        with_rate(smooth_cycle(start).with_("batch_size", size=64), 8.5e-3, 0.05),
        batch_norm={},
        residual={},
        random_crop={},
    )


def _mirrored_images(start: Recipe) -> Recipe:
    """The same with images mirrored and labels smoothed."""
    return add(_shifted_images(start), flip={}, label_smoothing={"amount": 0.05})


def _wide_images(start: Recipe) -> Recipe:
    """The same with twice the channels."""
    return add(_shifted_images(start), width={"factor": 2.0})


def _deep_images(start: Recipe) -> Recipe:
    """The same with a block more of each kind, and a gate for each channel.

    Both start from the function that was there. Bello et al., Revisiting ResNets, NeurIPS 2021.
    """
    return add(_shifted_images(start), blocks={}, squeeze_excite={})
