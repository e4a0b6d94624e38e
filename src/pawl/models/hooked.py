"""One run of a module that hooks listen to, after which it is as before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
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
