"""Edits of a user's network that leave it whole: each is tried, and what does not run is not made."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import nn

from pawl.data.types import Inputs
from pawl.models.memory import remembered
from pawl.models.operations import is_layer, traced

_ROWS = 3


def rows_of(sample: Inputs) -> Inputs:
    """Returns the few rows that edits are tried on, and parts are looked for."""
    return {name: x[:_ROWS] for name, x in sample.items()}


def edited(
    module: nn.Module,
    sample: Inputs,
    edits: Sequence[Callable[[nn.Module], None]],
    what: object,
    *,
    same: bool,
) -> nn.Module:
    """Makes the edits that leave a module whole (see `runs_whole`), in place.

    Args:
        module: Changed.
        sample: A few rows of what it takes.
        edits: One part each; from the back, so that what is in front keeps its name.
        what: Stands for what the edits do; which of them can be made is found out once.
        same: Whether the module must predict the same.
    """
    for number in remembered(module, (what, same), lambda: _possible(module, sample, edits, same)):
        edits[number](module)
    return module


def _possible(
    module: nn.Module, sample: Inputs, edits: Sequence[Callable[[nn.Module], None]], same: bool
) -> list[int]:
    everything = copy.deepcopy(module)
    for edit in edits:
        edit(everything)
    if runs_whole(module, everything, sample, same=same):
        return list(range(len(edits)))
    possible, present = [], module
    for number, edit in enumerate(edits):
        one = copy.deepcopy(present)
        edit(one)
        if runs_whole(present, one, sample, same=same):
            possible.append(number)
            present = one
    return possible


def runs_whole(before: nn.Module, after: nn.Module, sample: Inputs, *, same: bool) -> bool:
    """Tells whether an edited module runs in both modes, each layer as often, and returns such shapes.

    Args:
        before: Left as it is.
        after: Alike.
        sample: A few rows.
        same: Whether it must predict the same, too.
    """
    rows = rows_of(sample)
    outputs = []
    for training in (True, False):
        counts = []
        for module in (before, after):
            try:
                trace, ran = traced(module, lambda m: m(rows), training=training)
            except Exception:  # whatever a user's module raises
                return False
            outputs.append([trace.tensors[number] for number in trace.results])
            called = {
                op.address.partition("#")[0] for op in trace.operations if op.layer is not None
            }
            layers = [name for name, each in ran.named_modules() if _counts(each)]
            counts.append((sum(name in called for name in layers), len(layers)))
        (ran_before, all_before), (ran_after, all_after) = counts
        if all_after - ran_after != all_before - ran_before:
            return False
        if [x.shape for x in outputs[-2]] != [x.shape for x in outputs[-1]]:
            return False
    if not same:
        return True
    return all(
        torch.allclose(x, y, rtol=1e-4, atol=1e-5)
        for x, y in zip(outputs[-2], outputs[-1], strict=True)
    )


def _counts(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear):
        return False  # attention calls it by its weights
    return is_layer(module) and next(module.parameters(), None) is not None
