"""Averages over views of an image when predicting (test-time augmentation)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import Views
from pawl.techniques.augmentation._images import needs_images
from pawl.techniques.record import Phase, Settings
from pawl.techniques.stages import ModelTechnique


class AveragedViewsSettings(Settings):
    """Settings of `averaged_views`."""

    views: Literal["mirrored", "shifted", "both"] = Field(
        "mirrored", description="beside the image: its mirror image, shifts by a pixel, or both"
    )


def averaged_views(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Predicts the mean output over `V` views of an image: 2 (mirrored), 3 (shifted) or 6 (both).

    Of classes these are logits, so the mean is the geometric one of probabilities. Training is as
    without; a prediction takes `V` times as long, also in the exported graph, which has the views
    inside. Views must be what the model knows: mirror images harm where left and right say something,
    and a shift by a pixel is far on images of a few, unless training had such shifts (`random_crop`).
    """
    del sample
    mirrored, shifted = settings.views != "shifted", settings.views != "mirrored"
    return Views(module, mirrored=mirrored, shifted=shifted)


TECHNIQUE = ModelTechnique(
    name="averaged_views",
    summary="Predict the mean over views of an image (test-time augmentation).",
    reference="Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep CNNs, 2012, section "
    "4.1; Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024",
    apply=averaged_views,
    phase=Phase.PRECISION,
    settings=AveragedViewsSettings,
    fits=needs_images,
)
