"""Layers in front of the model: they turn raw inputs into what a network can take.

Each maps `Inputs` to `Inputs`, has buffers only, and is fitted on training rows, so that it travels
with the weights and the exported graph takes unscaled values with gaps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pawl.data.types import Examples, Inputs, Schema


class Impute(nn.Module):
    """Fills missing numbers with the training mean and appends one indicator per such feature.

    The input goes from `[B, ..., F]` with NaN or infinities to `[B, ..., F + M]` without; `M`
    features may be missing.
    """

    fill: Tensor
    columns: Tensor

    def __init__(self, name: str, fill: Tensor, missing: tuple[bool, ...]) -> None:
        super().__init__()
        self.name = name
        self.register_buffer("fill", fill)
        flagged = [index for index, flag in enumerate(missing) if flag]
        self.num_indicators = len(flagged)
        self.register_buffer("columns", torch.tensor(flagged, dtype=torch.int64))

    def forward(self, inputs: Inputs) -> Inputs:
        """Fills, and appends indicators."""
        numeric = inputs[self.name]
        missing = ~torch.isfinite(numeric)
        filled = torch.where(missing, self.fill, numeric)
        if self.num_indicators:
            flags = missing.index_select(-1, self.columns).to(filled.dtype)
            filled = torch.cat([filled, flags], dim=-1)
        return {**inputs, self.name: filled}


class ToFloat(nn.Module):
    """Turns uint8 inputs (images) into float32, values unchanged."""

    def forward(self, inputs: Inputs) -> Inputs:
        """Converts."""
        return {
            name: tensor.to(torch.float32) if tensor.dtype == torch.uint8 else tensor
            for name, tensor in inputs.items()
        }


class Affine(nn.Module):
    """Computes `(x - shift) * scale` on the floating-point inputs.

    `shift` and `scale` are given per input, broadcastable to `[B, ...]`.
    """

    def __init__(self, shift: Inputs, scale: Inputs) -> None:
        super().__init__()
        self.names = tuple(shift)
        for name in self.names:
            self.register_buffer(f"shift_{name}", shift[name])
            self.register_buffer(f"scale_{name}", scale[name])

    def forward(self, inputs: Inputs) -> Inputs:
        """Shifts and scales."""
        changed = {
            name: (inputs[name] - getattr(self, f"shift_{name}")) * getattr(self, f"scale_{name}")
            for name in self.names
        }
        return {**inputs, **changed}


class SmoothClip(nn.Module):
    """Computes `x / sqrt(1 + (x / limit)^2)` on the inputs named: what is far out comes to the limit."""

    def __init__(self, names: tuple[str, ...], limit: float) -> None:
        super().__init__()
        self.names, self.limit = names, limit

    def forward(self, inputs: Inputs) -> Inputs:
        """Clips."""
        changed = {
            name: inputs[name] * torch.rsqrt(1.0 + (inputs[name] / self.limit).square())
            for name in self.names
        }
        return {**inputs, **changed}


class Front(nn.Module):
    """Front layers, one after the other."""

    def __init__(self, layers: tuple[nn.Module, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, inputs: Inputs) -> Inputs:
        """Runs the layers in order."""
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs


def base_layers(schema: Schema, examples: Examples, rows: Tensor) -> tuple[nn.Module, ...]:
    """Returns the layers without which nothing can be trained: imputation, integers to floats."""
    layers: list[nn.Module] = []
    for spec in schema.inputs:
        if spec.missing:
            values = examples.inputs[spec.name][rows]
            fill = torch.nanmean(torch.where(values.isfinite(), values, torch.nan), dim=0)
            layers.append(Impute(spec.name, torch.nan_to_num(fill, nan=0.0), spec.missing))
    if any(spec.dtype == "uint8" for spec in schema.inputs):
        layers.append(ToFloat())
    return tuple(layers)
