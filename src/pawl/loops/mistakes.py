"""Mistakes of a loop itself, which no curve names, such as gradients that nobody clears.

They are seen at calls of the model, of `backward` and of the optimizer's step; a step here is all that
happens between two of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from pawl.diagnosing import Finding, Training
from pawl.loops.stillness import Stillness
from pawl.models import unregistered

_FEWEST, _MOST = 3, 32
"""Steps that have to be alike, and those that are looked at: a look at a GPU waits for it."""
_BY_MODE = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


class Mistakes:
    """Looks for them in a loop.

    Args:
        model: What trains.
        optimizer: Which updates its weights.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._model, self._optimizer = model, optimizer
        self._looked = self._kept = 0
        self._seen: torch.Tensor | None = None
        self._heard = self._cleared = False
        self._modes = set[bool]()
        self._still_eval = 0
        self._stillness = Stillness(optimizer)

    def called(self, training: bool) -> None:
        """Notes a call of the model, and in which mode."""
        self._modes.add(training)

    def backward(self) -> None:
        """Looks, before gradients are computed, whether those of the last step are still there."""
        if self._seen is not None and not self._cleared:
            self._cleared = self._seen.grad is None or not bool(self._seen.grad.any())

    def computed(self, reached: bool, tensors: Sequence[Tensor]) -> None:
        """Notes whether gradients that were computed reached the tensors that train."""
        self._heard |= reached
        self._stillness.backward(reached, tensors)

    def stepping(self, tensors: Sequence[Tensor]) -> None:
        """Looks at the gradients that a step goes by."""
        self._stillness.stepping(tensors)

    def stepped(self, tensors: Sequence[Tensor]) -> None:
        """Ends a step."""
        self._stillness.stepped(tensors)
        if self._heard:
            self._still_eval = self._still_eval + 1 if self._modes == {False} else 0
            if self._seen is not None:
                self._looked += 1
                self._kept += not self._cleared
        self._heard = self._cleared = False
        self._modes.clear()
        self._seen = _smallest(tensors) if self._looked < _MOST else None

    def findings(self, run: Training) -> list[Finding]:
        """Returns what was found so far, in a loop of which this was seen."""
        still = self._stillness.finding(run)
        return [
            *([] if still is None else [still]),
            *self._of_gradients(), *self._of_modes(), *self._of_layers(), *self._of_optimizer(),
        ]  # fmt: skip

    def _of_gradients(self) -> Iterator[Finding]:
        if self._kept >= _FEWEST and 2 * self._kept > self._looked:
            yield Finding(
                rule="gradients_add_up",
                severity="critical",
                evidence=f"before {self._kept} of {self._looked} steps gradients were added to those of "
                "the step before",
                strength=2.0 * self._kept / self._looked,
                advice="call optimizer.zero_grad() once in each step, before backward()",
            )

    def _of_modes(self) -> Iterator[Finding]:
        names = [n for n, each in self._model.named_modules() if _differs(each)]
        if self._still_eval >= _FEWEST and names:
            yield Finding(
                rule="trains_in_evaluation_mode",
                severity="warning",
                evidence=f"the last {self._still_eval:,} steps trained on what the model returned in "
                f"evaluation mode, in which {len(names)} of its layers do not do what they do in "
                f"training (the first: {names[0]!r})",
                strength=2.0,
                advice="call model.train() before training goes on, such as after each validation",
            )

    def _of_layers(self) -> Iterator[Finding]:
        if lost := unregistered(self._model):
            yield Finding(
                rule="layers_not_registered",
                severity="critical",
                evidence=f"layers are held where model.parameters() does not find them: {lost[0]}"
                + (f" and {len(lost) - 1} more" if len(lost) > 1 else ""),
                strength=2.0,
                advice="nn.ModuleList or nn.ModuleDict (of parameters: nn.ParameterList); "
                "requires_grad_(False) where they are not to be trained",
            )

    def _of_optimizer(self) -> Iterator[Finding]:
        held = {id(p) for group in self._optimizer.param_groups for p in group["params"]}
        own = {id(p) for p in self._model.parameters()}
        without = [
            n for n, p in self._model.named_parameters() if p.requires_grad and id(p) not in held
        ]
        if without and held - own:
            yield Finding(
                rule="optimizer_of_other_weights",
                severity="critical",
                evidence=f"the optimizer updates {len(held - own)} tensors that are not the model's, "
                f"and not {len(without)} that are (the first: {without[0]!r})",
                strength=2.0,
                advice="make the optimizer after layers were replaced, of model.parameters()",
            )


def _differs(layer: nn.Module) -> bool:
    """Tells whether a layer does something else in training."""
    return isinstance(layer, _BY_MODE) and getattr(layer, "p", 1.0) > 0


def _smallest(tensors: Sequence[Tensor]) -> Tensor | None:
    """Returns the smallest tensor that has a gradient other than 0."""
    known = [(p, p.grad) for p in tensors if p.grad is not None and not p.grad.is_sparse]
    found = sorted(known, key=lambda each: each[0].numel())
    return next((p for p, slope in found if bool(slope.any())), None)
