"""Copies of modules that have nothing in common with what they are copies of.

`copy.deepcopy` leaves functions as they are: a lambda that a module keeps, and that calls layers of the
module, would call those of the original.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Mapping
from typing import Any, TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def duplicate(module: M) -> M:
    """Returns a deep copy whose functions call what was copied.

    Example:
        >>> class Net(nn.Module):
        ...     def __init__(self) -> None:
        ...         super().__init__()
        ...         self.layer = layer = nn.Linear(2, 2)
        ...         self.run = lambda: layer
        >>> net = Net()
        >>> copy.deepcopy(net).run() is net.layer, duplicate(net).run() is net.layer
        (True, False)
    """
    memo: dict[int, Any] = {}
    return rebound(copy.deepcopy(module, memo), memo)


def rebound(copied: M, memo: Mapping[int, Any]) -> M:
    """Lets functions that submodules keep refer to copies, in place.

    Args:
        copied: A deep copy.
        memo: What `copy.deepcopy` noted: copies by the numbers of their originals.
    """
    for module in copied.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, types.FunctionType):
                module.__dict__[name] = _rebound(value, memo)
    return copied


def _rebound(function: types.FunctionType, memo: Mapping[int, Any]) -> types.FunctionType:
    cells, given = function.__closure__ or (), function.__defaults__ or ()
    closure = tuple(
        types.CellType(memo[id(cell.cell_contents)]) if _filled(cell, memo) else cell
        for cell in cells
    )
    defaults = tuple(memo.get(id(value), value) for value in given)
    if closure == cells and all(x is y for x, y in zip(defaults, given, strict=True)):
        return function
    new = types.FunctionType(
        function.__code__, function.__globals__, function.__name__,
        defaults or None, closure or None,
    )  # fmt: skip
    new.__kwdefaults__ = function.__kwdefaults__
    new.__dict__.update(function.__dict__)
    return new


def _filled(cell: types.CellType, memo: Mapping[int, Any]) -> bool:
    try:
        return id(cell.cell_contents) in memo
    except ValueError:  # it is empty yet
        return False
