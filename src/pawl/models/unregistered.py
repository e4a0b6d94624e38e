"""Layers that a module holds where PyTorch does not look for them: their weights train nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

_HELD = (list, tuple, dict, set)
_OWN = ("_modules", "_parameters", "_buffers", "_flat_weights")
"""What PyTorch keeps itself; recurrent layers keep old weights there where these are parametrized."""
_DEPTH = 3


def unregistered(module: nn.Module) -> list[str]:
    """Returns where layers or parameters lie in plain lists and dicts, with their address.

    Those with no weights that are to be trained are left out, such as a frozen network that is held in a
    list on purpose; so are those that the module has elsewhere, too.

    Example:
        >>> net = nn.Module()
        >>> net.blocks = [nn.Linear(2, 2), nn.Linear(2, 2)]
        >>> unregistered(net)
        ["'blocks' (a list with 2 layers)"]
    """
    known = {id(p) for p in module.parameters()}
    found = []
    for name, owner in module.named_modules():
        for key, value in vars(owner).items():
            if key in _OWN or not isinstance(value, _HELD):
                continue
            inside = list(_inside(value, _DEPTH))
            lost = [
                each
                for each in inside
                if any(p.requires_grad and id(p) not in known for p in _weights(each))
            ]
            if lost:
                layers = sum(isinstance(each, nn.Module) for each in lost)
                what, many = ("layer", layers) if layers else ("parameter", len(lost))
                address = f"{name}.{key}" if name else key
                told = f"a {type(value).__name__} with {many} {what}{'s' * (many != 1)}"
                found.append(f"{address.removeprefix('module.')!r} ({told})")
    return found


def _inside(value: Any, depth: int) -> Iterator[nn.Module | nn.Parameter]:
    if isinstance(value, nn.Module | nn.Parameter):
        yield value
    elif isinstance(value, _HELD) and depth:
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _inside(each, depth - 1)


def _weights(each: nn.Module | nn.Parameter) -> Iterator[Tensor]:
    if isinstance(each, nn.Module):
        yield from each.parameters()
    else:
        yield each
