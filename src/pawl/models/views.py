"""Predictions of several views of an image, averaged."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pawl.data.types import Inputs
from pawl.models.outputs import predicting

_IMAGE_AXES = 4


class Views(nn.Module):
    """Trains a model as it is, and predicts the mean of its outputs over views of each image.

    Args:
        module: The model: `Inputs` to raw outputs.
        mirrored: Whether the mirror images are among the views.
        shifted: Whether images shifted by a pixel are, up and left, and down and right.
    """

    def __init__(self, module: nn.Module, *, mirrored: bool, shifted: bool) -> None:
        super().__init__()
        self.module = module
        self.mirrored, self.shifted = mirrored, shifted

    @property
    def count(self) -> int:
        """How many views there are."""
        return (2 if self.mirrored else 1) * (3 if self.shifted else 1)

    def forward(self, inputs: Inputs) -> Any:
        """Calls the model: while it predicts, on all views in one batch."""
        if self.training:
            return self.module(inputs)
        seen = {
            name: self._views(x) if x.dim() == _IMAGE_AXES else torch.cat([x] * self.count)
            for name, x in inputs.items()
        }
        found = predicting(self.module(seen))
        return found.reshape(self.count, -1, *found.shape[1:]).mean(0)

    def _views(self, x: Tensor) -> Tensor:
        """Returns images `[B, C, H, W]` as `[V * B, C, H, W]`; what comes in from outside is zero."""
        each = [x]
        if self.shifted:
            each.append(F.pad(x[..., 1:, 1:], (0, 1, 0, 1)))
            each.append(F.pad(x[..., :-1, :-1], (1, 0, 1, 0)))
        if self.mirrored:
            each += [one.flip(-1) for one in each]
        return torch.cat(each)
