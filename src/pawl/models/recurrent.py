"""Layers behind recurrent ones, and recurrent layers that are deeper.

A recurrent layer returns its outputs and its states. What goes behind it changes the outputs; a model
that reads the states is left, unless they follow from what is changed.

Shape legend: `B` rows, `T` steps, `C` numbers of an output: units times directions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pawl.data.types import Inputs
from pawl.models.layers import LayerScale
from pawl.models.operations import Trace, traced
from pawl.models.surgery import replace

_FEW_ROWS = 4
_STEPS_RANK = 3


class Followed(nn.Module):
    """A recurrent layer with a layer behind its outputs; what else is asked of it is the layer's own.

    Args:
        inner: The recurrent layer.
        behind: Maps `[B, T, C]` to `[B, T, C]`.
    """

    def __init__(self, inner: nn.Module, behind: nn.Module) -> None:
        super().__init__()
        self.inner, self.behind = inner, behind

    def __getattr__(self, name: str) -> Any:
        """Returns what a recurrent layer has: `num_layers`, `flatten_parameters`."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        """Runs both; states are the inner layer's."""
        output, states = self.inner(*args, **kwargs)
        return self.behind(output), states


class OutputsOf(nn.Module):
    """The outputs of a recurrent layer alone.

    Args:
        inner: It.
    """

    def __init__(self, inner: nn.RNNBase) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Runs over the steps, `[B, T, C]` to `[B, T, C]`."""
        output: Tensor = self.inner(x)[0]
        return output


def recurrent_layers(module: nn.Module) -> list[str]:
    """Returns the names of the recurrent layers of PyTorch's, in order of registration."""
    return [name for name, each in module.named_modules() if isinstance(each, nn.RNNBase)]


def followable(module: nn.Module, sample: Inputs) -> dict[str, int]:
    """Returns `C` of the recurrent layers that layers can go behind, by name.

    They are called once, take rows first, and the model reads their outputs and not their states.
    """
    names = recurrent_layers(module)
    if not names:
        return {}
    trace, _ = traced(module, lambda m: m({name: x[:_FEW_ROWS] for name, x in sample.items()}))
    found = {}
    for name in names:
        layer, width = module.get_submodule(name), width_followed(trace, name)
        if width and getattr(layer, "batch_first", False):
            found[name] = width
    return found


def width_followed(trace: Trace, name: str) -> int:
    """Returns `C` of a recurrent layer that layers can go behind, rows first or not; 0 if none can."""
    calls = [op for op in trace.operations if op.address.partition("#")[0] == name]
    if len(calls) != 1:
        return 0
    output, *states = calls[0].outputs
    read = {number for op in trace.operations for number in op.inputs} | set(trace.results)
    shape = trace.shapes[output]
    if len(shape) != _STEPS_RANK or output not in read or read & set(states):
        return 0
    return shape[-1]


def follow(module: nn.Module, name: str, behind: nn.Module) -> None:
    """Puts a layer behind a recurrent one, in place."""
    replace(module, lambda each, old: Followed(old, behind) if each == name else None)


def stacked(layer: nn.RNNBase, count: int) -> nn.Module:
    """Returns so many recurrent layers for what a learned one returns, which start by returning it."""
    width = layer.hidden_size * (2 if layer.bidirectional else 1)
    more = _like(layer, width, count)
    return LayerScale(OutputsOf(more), (), 0.0)


def deeper(layer: nn.RNNBase, more: int) -> nn.RNNBase:
    """Returns a recurrent layer of more layers, or fewer; those that were there keep their weights."""
    new = _like(layer, layer.input_size, layer.num_layers + more)
    kept = dict(layer.named_parameters(recurse=False))
    with torch.no_grad():
        for name, weight in new.named_parameters(recurse=False):
            if name in kept:
                weight.copy_(kept[name])
    return new.train(layer.training)


def can_stack(layer: nn.Module) -> bool:
    """Tells whether a recurrent layer's outputs could be its inputs: it projects none."""
    return isinstance(layer, nn.RNNBase) and not layer.proj_size and not list(layer.children())


def _like(layer: nn.RNNBase, inputs: int, count: int) -> nn.RNNBase:
    more: dict[str, Any] = {}
    if isinstance(layer, nn.RNN):
        more["nonlinearity"] = layer.nonlinearity
    kind: Any = type(layer)
    made: nn.RNNBase = kind(
        inputs, layer.hidden_size, count, bias=layer.bias, batch_first=layer.batch_first,
        dropout=layer.dropout if count > 1 else 0.0, bidirectional=layer.bidirectional, **more,
    )  # fmt: skip
    return made
