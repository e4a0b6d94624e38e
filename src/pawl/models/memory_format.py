"""Images whose channels lie next to each other in memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pawl.data.types import Inputs

_IMAGE_AXES = 4


class ChannelsLast(nn.Module):
    """Gives a model that trains its images with the channels of a pixel side by side.

    Convolutions keep the order and are faster in it on most processors and accelerators; the numbers are
    the same but for rounding. Predictions are as they were.

    Args:
        module: The model.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Inputs) -> Any:
        """Calls the model."""
        if not self.training:
            return self.module(inputs)
        return self.module(with_channels_last(inputs))


def with_channels_last(inputs: Inputs) -> Inputs:
    """Returns inputs with the channels of images, `[B, C, H, W]`, side by side; no value changes."""
    return {name: _channels_last(x) for name, x in inputs.items()}


def _channels_last(x: Tensor) -> Tensor:
    if x.dim() != _IMAGE_AXES:
        return x
    # Not by a memory format, which `vmap` does not know.
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
