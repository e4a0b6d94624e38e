"""Products in half the digits while training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from pawl.data.types import Inputs


class MixedPrecision(nn.Module):
    """Runs a model's training steps under `torch.autocast`; predicts in full precision.

    Outputs are float32 again, so that losses are computed in all digits.

    Args:
        module: The model, which keeps its float32 weights.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Inputs) -> Any:
        """Calls the model."""
        if not self.training:
            return self.module(inputs)
        device = next(iter(inputs.values())).device.type
        # Cached casts of weights would outlive the transforms of a fused step.
        with torch.autocast(device, dtype=torch.bfloat16, cache_enabled=False):
            return tree_map(_widened, self.module(inputs))


def _widened(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value
