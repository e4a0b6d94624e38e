"""Losses of a loop that nobody hands over: what `backward` is called on while a model is watched."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Heard = Callable[[Tensor], Callable[[], None] | None]
"""Is told of a loss before its gradients are computed; what it returns is called when they are."""
_lock = threading.Lock()
_listeners: list[Heard] = []
_original: Any = None


def listen(heard: Heard) -> None:
    """Tells from now on of each single number that `Tensor.backward` is called on.

    The method is replaced while anyone listens, and put back after.
    """
    global _original  # noqa: PLW0603
    with _lock:
        _listeners.append(heard)
        if _original is None:
            _original = torch.Tensor.backward
            torch.Tensor.backward = _telling(_original)  # type: ignore[method-assign]


def leave(heard: Heard) -> None:
    """Takes a listener out again."""
    global _original  # noqa: PLW0603
    with _lock:
        _listeners.remove(heard)
        if not _listeners and _original is not None:
            torch.Tensor.backward = _original  # type: ignore[method-assign]
            _original = None


def _telling(original: Any) -> Any:
    @functools.wraps(original)
    def backward(self: Tensor, *args: Any, **options: Any) -> Any:
        told = tuple(_listeners) if self.numel() == 1 else ()
        after = [heard(self.detach()) for heard in told]
        result = original(self, *args, **options)
        for then in after:
            if then is not None:
                then()
        return result

    return backward
