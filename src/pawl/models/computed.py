"""Weights that are computed of others (`torch.nn.utils.parametrize`), handled as if they were plain.

Such a weight is set by setting what it is computed of, if that can be told from it, as weight
normalization can: `w = g v / |v|` with `g = |w|`, `v = w`.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, register_parametrization


def settable(layer: nn.Module) -> bool:
    """Tells whether a layer's weights can be set: those that are computed may have no way back."""
    if not is_parametrized(layer):
        return True
    if isinstance(layer, nn.RNNBase) or is_parametrized(layer, "bias"):
        return False
    computed: Any = layer.parametrizations
    return all(hasattr(each, "right_inverse") for each in computed["weight"])


def resizable(layer: nn.Module) -> bool:
    """Tells whether they can be set to some of another shape: nothing is kept that has theirs."""
    if not is_parametrized(layer):
        return True
    computed: Any = layer.parametrizations
    return settable(layer) and not any(list(each.state_dict()) for each in computed["weight"])


def put(layer: nn.Module, name: str, value: Tensor) -> None:
    """Gives a layer a weight of its own, of any shape."""
    if is_parametrized(layer, name):
        with torch.no_grad():
            setattr(layer, name, value.clone())  # what it is computed of is set so that it is this
    else:
        setattr(layer, name, nn.Parameter(value.clone()))


def likewise(layer: nn.Module, new: nn.Module) -> nn.Module:
    """Returns a layer whose weight is computed as that of another one is."""
    if is_parametrized(layer, "weight"):
        computed: Any = layer.parametrizations
        for each in computed["weight"]:
            register_parametrization(new, "weight", copy.deepcopy(each), unsafe=True)
    return new
