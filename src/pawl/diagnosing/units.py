"""What activations return: dead, saturated and equal units, of modules and of functions alike.

Shape legend: `U` units, `V` values of a unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pawl.diagnosing.record import UnitReading
from pawl.models.axes import channel_axis
from pawl.models.calls import calls_of
from pawl.models.operations import Trace, traced
from pawl.models.surgery import ACTIVATION_TYPES

_SAME = 1e-3
_ENDS = {nn.Sigmoid: (0.02, 0.98), nn.Tanh: (-0.96, 0.96)}
_AT_AN_END = 0.9
Forward = Callable[[nn.Module], Any]
"""Runs a module on some rows."""


def called_functions(body: nn.Module, run: Forward) -> dict[str, type[nn.Module]]:
    """Returns activations that a model calls as functions, by address."""
    return {
        address: type(call.module)
        for address, call in calls_of(body, run).items()
        if isinstance(call.module, ACTIVATION_TYPES)
    }


def unit_readings(
    body: nn.Module, functional: Mapping[str, type[nn.Module]], run: Forward
) -> tuple[UnitReading, ...]:
    """Returns a reading of each activation, in the order in which they run.

    Args:
        body: The model, which is left as it is.
        functional: See `called_functions`.
        run: Runs it.
    """
    trace, _ = traced(body, run)
    found = []
    for op in trace.operations:
        kind = type(op.layer) if isinstance(op.layer, ACTIVATION_TYPES) else None
        kind = kind or functional.get(op.address)
        if kind is not None and op.outputs:
            found.append(unit_reading(op.address, kind, _by_unit(trace, op.outputs[0])))
    return tuple(found)


def _by_unit(trace: Trace, number: int) -> Tensor:
    """Returns a tensor's values by unit, `[U, V]`."""
    values = trace.tensors[number]
    axis = channel_axis(trace, number)
    if axis is None:
        axis = 1 if values.dim() == 4 else -1
    return values.detach().movedim(axis, 0).flatten(1)


def unit_reading(name: str, kind: type[nn.Module], values: Tensor) -> UnitReading:
    """Returns what an activation's values `[U, V]` say of its units."""
    std = values.std(1, correction=0)
    scale = std.square().mean().sqrt()
    dead = std <= max(_SAME * float(scale), 1e-9)
    saturated = torch.zeros_like(std, dtype=torch.bool)
    for known, (low, high) in _ENDS.items():
        if issubclass(kind, known):
            saturated = ((values < low) | (values > high)).float().mean(1) >= _AT_AN_END
    alive = values[~dead][:, :64]
    grid = (alive / (_SAME * max(float(scale), 1e-9))).round()
    different = len(torch.unique(grid, dim=0)) if len(grid) else 0
    return UnitReading(
        name=name,
        function=kind.__name__,
        units=len(values),
        mean=float(values.mean()),
        std=float(values.std(correction=0)),
        dead=float(dead.float().mean()),
        saturated=float(saturated.float().mean()),
        alike=(len(alive) - different) / len(values),
        varies=float(scale),
    )
