"""Which layers of a module run first and last, and which one makes its outputs.

A layer is a submodule with weights of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from pawl.models.hooked import run_hooked

_HEADS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
HEADS = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
"""What can be a model's last layer, and be made anew for other outputs."""


def layers_in_order(module: nn.Module, run: Callable[[nn.Module], Any]) -> tuple[str, ...]:
    """Returns the names of a module's layers in the order in which they are first called.

    One that is never called, because its weights are used by others, comes behind the one that is
    registered before it.

    Args:
        module: Is run once, in evaluation mode.
        run: Calls it.

    Example:
        >>> net = nn.Module()
        >>> net.head, net.first = nn.Linear(3, 2), nn.Linear(4, 3)
        >>> net.forward = lambda x: net.head(net.first(x))
        >>> layers_in_order(net, lambda m: m(torch.zeros(1, 4)))
        ('first', 'head')
    """
    owners = {
        name: each
        for name, each in module.named_modules()
        if next(each.parameters(recurse=False), None) is not None
    }
    called: dict[str, None] = {}
    hooks = [
        each.register_forward_pre_hook(lambda *_, name=name: called.setdefault(name))
        for name, each in owners.items()
    ]
    run_hooked(module, hooks, run)
    found = list(called)
    before = ""
    for name in owners:
        if name not in called:
            found.insert(found.index(before) + 1 if before else 0, name)
        before = name
    return tuple(found)


def head_of(module: nn.Module, order: Sequence[str], width: int | None = None) -> str | None:
    """Returns which layer makes the outputs: the last one that is linear or a convolution.

    Args:
        module: Has the layers.
        order: Their names, as `layers_in_order` returns them.
        width: Outputs that it must have; any by default.
    """
    for name in reversed(order):
        layer = module.get_submodule(name)
        if isinstance(layer, _HEADS) and width in (None, layer.weight.shape[0]):
            return name
    return None


def resized(layer: HEADS, outputs: int) -> nn.Module:
    """Returns a fresh layer of the same kind with so many outputs."""
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, outputs, bias=layer.bias is not None)
    return type(layer)(
        layer.in_channels, outputs, layer.kernel_size, layer.stride,  # type: ignore[arg-type]
        layer.padding, layer.dilation, 1, layer.bias is not None, layer.padding_mode,  # type: ignore[arg-type]
    )  # fmt: skip


def order_of(module: nn.Module) -> tuple[str, ...]:
    """Returns the names of a module's layers, first to last, as far as who built it has told it."""
    for name, each in module.named_modules():
        if order := getattr(each, "order", ()):
            return tuple(f"{name}.{own}" if name else own for own in order)
    return ()


def places(names: Sequence[str], order: Sequence[str]) -> tuple[int, ...]:
    """Returns the number of the layer that each weight tensor belongs to, 0 for the first.

    Where no order is known, layers count as they are registered. What was put in behind a layer
    belongs to it.

    Args:
        names: Of the tensors, in order of registration.
        order: Names of the layers, first to last; may be empty.

    Example:
        >>> places(("b.weight", "b.bias", "a.0.weight"), ("a", "b"))
        (1, 1, 0)
        >>> places(("b.weight", "b.bias", "a.0.weight"), ())
        (0, 0, 1)
    """
    known = {name: place for place, name in enumerate(order)}
    owners: dict[str, int] = {}
    found: list[int] = []
    for name in names:
        owner = name.rpartition(".")[0]
        if not known:
            found.append(owners.setdefault(owner, len(owners)))
            continue
        while owner and owner not in known:
            owner = owner.rpartition(".")[0]
        found.append(known.get(owner, found[-1] if found else 0))
    return tuple(found)
