"""Training with channels last, where a device is faster at it."""

from __future__ import annotations

from torch import nn

from pawl.data.types import Inputs
from pawl.models import ChannelsLast
from pawl.techniques.augmentation._images import has_images
from pawl.techniques.record import Phase, Settings
from pawl.techniques.stages import ModelTechnique


def channels_last(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Trains on images whose channels lie side by side in memory, `[B, H, W, C]` underneath.

    Results are the same but for rounding. It is not searched: whether it pays is a matter of the device,
    not of the data, so campaigns with a budget time it beside the other ways of training and use it
    where it is faster. Members that train one by one gain where the device's convolutions prefer it;
    fused ones, whose convolutions are grouped, do not.
    """
    del settings, sample
    return ChannelsLast(module)


TECHNIQUE = ModelTechnique(
    name="channels_last",
    summary="Train on images with channels last in memory.",
    reference="PyTorch documentation, Channels Last Memory Format in PyTorch",
    apply=channels_last,
    phase=Phase.PRECISION,
    searched=False,
    fits=has_images,
)
