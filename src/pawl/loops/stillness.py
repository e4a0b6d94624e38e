"""Loops in which no weight is trained, and why as far as that is seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pawl.diagnosing import Finding, Training
from pawl.loops.slopes import pulls

_FEWEST, _MOST, _SPACING = 3, 32, 1.25
"""Steps from which on it is told, and those that are all looked at; later ones are further apart."""


class Stillness:
    """Looks for gradients and for a learning rate until there was one of each.

    Args:
        optimizer: Which updates the weights.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._steps = self._due = 0
        self._rate = self._pulled = False
        self._came = self._reached = self._missed = False

    def backward(self, reached: bool, tensors: Sequence[Tensor]) -> None:
        """Looks behind a call of `backward`, which reached these tensors or none of them."""
        self._reached |= reached
        self._missed |= not reached
        if reached and self._looks and not self._came:
            self._came = pulls(tensors)

    def stepping(self, tensors: Sequence[Tensor]) -> None:
        """Looks before a step, and behind it: a closure computes gradients within."""
        self._rate = self._rate or any(
            not isinstance(rate := group.get("lr"), float | int | Tensor) or bool(rate != 0)
            for group in self._optimizer.param_groups
        )
        if self._looks:
            self._pulled = pulls(tensors)

    def stepped(self, tensors: Sequence[Tensor]) -> None:
        """Ends a step."""
        self.stepping(tensors)
        self._steps += 1
        if self._steps > max(_MOST, self._due):
            self._due = int(_SPACING * self._steps)

    @property
    def _looks(self) -> bool:
        """Whether gradients are looked at, which waits for a GPU."""
        return not self._pulled and (self._steps < _MOST or self._steps >= self._due)

    def finding(self, run: Training) -> Finding | None:
        """Returns what was found so far."""
        if self._steps < _FEWEST:
            return None
        known = run.readings and run.last.step >= _FEWEST and run.last.weights
        still = bool(known) and not any(each.distance for each in run.last.weights)
        # What came and was cleared trains nothing, even if weights decay.
        lost = self._came and not self._pulled
        if not (still or lost):
            return None
        why, advice = self._cause()
        return Finding(
            rule="nothing_trains",
            severity="critical",
            evidence=f"in {self._steps:,} steps no weight learned anything: {why}",
            strength=2.0,
            advice=advice,
        )

    def _cause(self) -> tuple[str, str]:
        """Returns why no weight moves, and what to do."""
        if not self._rate:
            return "the learning rate was 0 at each step", "a learning rate above 0"
        if self._pulled:
            return (
                "gradients and learning rate were not 0, but the weights are as they were before",
                "a higher learning rate, or weights in float32, as small changes of others are rounded "
                "off; nothing that puts weights back",
            )
        if self._came:
            return (
                "the gradients of backward() were gone before the optimizer's step",
                "call optimizer.zero_grad() before backward(), not between it and optimizer.step()",
            )
        if self._reached:
            return (
                "all gradients of backward() were 0",
                "a loss that changes with what the model returns: argmax, round, sign and comparisons "
                "have no slope, nor have units that are always off",
            )
        if self._missed:
            return (
                "the loss that backward() was called on does not depend on them",
                "a loss of what the model returns, with no detach(), .data, item(), numpy() or "
                "torch.no_grad() between",
            )
        return "the optimizer got no gradients", "call loss.backward() before optimizer.step()"
