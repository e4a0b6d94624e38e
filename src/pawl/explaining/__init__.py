"""What a model does, with evidence for each explanation."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pawl.explaining.entry import Explained, explain
    from pawl.explaining.result import Explanation

__all__ = ["Explained", "Explanation", "explain"]

_HOMES = {"Explained": "entry", "Explanation": "result", "explain": "entry"}


def __getattr__(name: str) -> object:
    # On demand, so that `python -m pawl.explaining.result` runs a module that is not loaded yet.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
