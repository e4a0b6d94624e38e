"""Parts of a module that stay in evaluation mode while the rest trains."""

from __future__ import annotations

import types
from collections.abc import Collection

from torch import nn


def _evaluating(self: nn.Module, mode: bool = True) -> nn.Module:
    """Stands in for `train`: the module itself stays as it is in evaluation, its children may train."""
    self.training = False
    for child in self.children():
        child.train(mode)
    return self


def hold(module: nn.Module) -> None:
    """Keeps a submodule in evaluation mode, whatever the module around it is put in; in place."""
    module.train = types.MethodType(_evaluating, module)  # type: ignore[method-assign]
    module.training = False


def hold_all_but(module: nn.Module, trained: Collection[str]) -> None:
    """Keeps all of a module in evaluation mode but some layers, by name; in place."""
    for name, each in module.named_modules():
        if name not in trained:
            hold(each)


def normalizing_by_batch(module: nn.Module) -> list[nn.Module]:
    """Returns the layers that keep running statistics, also those of a user's own classes."""
    return [
        each
        for each in module.modules()
        if getattr(each, "running_mean", None) is not None and hasattr(each, "running_var")
    ]
