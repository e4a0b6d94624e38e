"""One run of a module that hooks listen to, after which it is as before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


def run_hooked(
    module: nn.Module, hooks: Sequence[RemovableHandle], run: Callable[[nn.Module], Any]
) -> None:
    """Runs a module once, in evaluation mode and without gradients; takes hooks away, its mode back.

    Args:
        module: What runs.
        hooks: Those that are there already; they are removed, also where the run fails.
        run: Calls it.
    """
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            run(module)
    finally:
        for hook in hooks:
            hook.remove()
        module.train(was_training)


def at_first(
    module: nn.Module,
    layers: Sequence[nn.Module],
    change: Callable[[Any, Tensor, Tensor], Tensor | None],
    inputs: Any,
) -> None:
    """Runs a module once and changes layers as they are reached, each by what it then sees and says.

    Behind a layer that was changed everything sees what it says now, so one forward is enough.

    Args:
        module: What runs.
        layers: Of it; each takes a tensor and returns one.
        change: Changes a layer, by what it takes and returns, when it is called first; returns what it
            returns now, or `None` where it is left, and waits for its next call.
        inputs: What the module takes.
    """
    waiting = {id(layer) for layer in layers}

    def reached(layer: nn.Module, args: tuple[Any, ...], y: Tensor) -> Tensor | None:
        changed = change(layer, args[0], y) if id(layer) in waiting else None
        if changed is not None:
            waiting.discard(id(layer))
        return changed

    hooks = [layer.register_forward_hook(reached) for layer in layers]
    run_hooked(module, hooks, lambda m: m(inputs))
