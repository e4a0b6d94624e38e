"""Lets a user's code ask for the number of rows by `len(x)` while it is exported.

Python makes a plain number of what `len` returns, so that the exporter would take the rows of its sample
for a constant. While a module is exported, the files that its classes come from have a `len` that
returns `x.shape[0]` of a tensor, and what Python's own does of all else.
"""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

_NAME = "len"


def _length(values: Any) -> Any:
    return values.shape[0] if isinstance(values, Tensor) and values.dim() else len(values)


@contextlib.contextmanager
def lengths_kept(module: nn.Module) -> Iterator[None]:
    """Within it `len` of a tensor stays free in files that a module's classes and lambdas come from.

    Files with a `len` of their own, and those of PyTorch's and pawl's, are left as they are.
    """
    changed = [space for space in _spaces(module) if _NAME not in space]
    for space in changed:
        space[_NAME] = _length
    try:
        yield
    finally:
        for space in changed:
            del space[_NAME]


def _spaces(module: nn.Module) -> list[dict[str, Any]]:
    """Returns the global names of each of those files."""
    found: dict[int, dict[str, Any]] = {}
    for each in module.modules():
        kept = [vars(each), *(vars(base) for base in type(each).__mro__)]
        for value in [value for names in kept for value in names.values()]:
            inner = getattr(value, "__func__", value)
            space = getattr(inner, "__globals__", None)
            if space is None or space is vars(builtins):
                continue
            if str(space.get("__name__", "")).partition(".")[0] not in ("torch", "pawl"):
                found[id(space)] = space
    return list(found.values())
