"""Parts of a module that stay in one mode, whatever the rest is put in."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Collection, Iterator, Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


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


def gathering(module: nn.Module) -> list[_BatchNorm]:
    """Returns PyTorch's layers that keep running statistics of batches, but for those that are held."""
    return [
        each
        for each in module.modules()
        if isinstance(each, _BatchNorm)
        and each.running_mean is not None
        and "train" not in vars(each)
    ]


@contextlib.contextmanager
def gathered(layers: Sequence[_BatchNorm], share: float) -> Iterator[None]:
    """Lets layers normalize by batches, and take them into their statistics, in evaluation mode too.

    Afterwards they are in the mode that they were found in.

    Args:
        layers: Whose.
        share: Of a new batch in the statistics; `1 / k` in the `k`-th makes them the mean of all.
    """
    found = [(layer.training, layer.momentum) for layer in layers]
    for layer in layers:
        layer.train = types.MethodType(_training, layer)  # type: ignore[method-assign]
        layer.training, layer.momentum = True, share
    try:
        yield
    finally:
        for layer, before in zip(layers, found, strict=True):
            del layer.train
            layer.training, layer.momentum = before


def _training(self: nn.Module, mode: bool = True) -> nn.Module:
    """Stands in for `train`."""
    del mode
    self.training = True
    return self
