"""What a watch does where its model is called, where gradients are computed, and around a step."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from pawl.execution import reason_of
from pawl.loops.reader import rows_of
from pawl.loops.slopes import Noted, came, noted

if TYPE_CHECKING:
    from pawl.loops.watching import Watch


def quiet(watch: Watch, act: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a hook that never raises, and does nothing while a reading runs the model.

    Nor after the block. What cannot be read of somebody's model is left out; `Watch.trouble` says why.
    """

    def hook(*given: Any) -> Any:
        if not watch._open or watch._reading:
            return None
        try:
            return act(watch, *given)
        except Exception as error:
            watch._trouble = reason_of(error)
            watch._clock.skip()
            return None

    return hook


def called(watch: Watch, model: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    """The model is called."""
    watch._mistakes.called(model.training)
    if model.training:
        watch._threads = (watch._threads[0], threading.get_ident())
        watch._clock.called()
        watch._batch = args, options
    else:  # what validation takes is no wait for data
        watch._clock.skip()


def answered(watch: Watch, model: nn.Module, *_: Any) -> None:
    """The model has returned."""
    if model.training:
        watch._clock.spent("forward")
    else:
        watch._clock.skip()


def heard(watch: Watch, loss: Tensor) -> Callable[[], None] | None:
    """Gradients of a loss are about to be computed, maybe of another model's, in another thread."""
    if threading.get_ident() not in watch._threads:
        return None
    watch._mistakes.backward()
    return partial(quiet(watch, _computed), loss, noted(watch._updated))


def _computed(watch: Watch, loss: Tensor, before: Noted) -> None:
    """They are computed: the loss is the model's if any has reached what the optimizer updates."""
    reached = came(before)
    watch._mistakes.computed(reached, watch._updated)
    if not reached:
        watch._clock.elsewhere()
        return
    if all(slope is None for _, slope, _ in before):
        watch._curve.cleared()
    watch._curve.heard(loss)
    watch._clock.spent("backward")


def before_step(watch: Watch, *_: Any) -> None:
    """The optimizer is about to step."""
    watch._clock.stepping()
    watch._mistakes.stepping(watch._updated)
    watch._curve.stepped(watch._step + 1)
    follows, watch._follows = watch._follows, False
    if follows:
        noise, signal = watch._reader.noise(rows_of(watch._batch))
        last = watch._readings[-1]
        watch._readings[-1] = dataclasses.replace(last, noise=noise, signal=signal)
    if watch._is_due():
        watch._read()
        watch._follows = True
    watch._clock.skip()  # what readings take is no part of a step


def after_step(watch: Watch, *_: Any) -> None:
    """The optimizer has stepped."""
    watch._clock.stepped()
    watch._step += 1
    watch._curve.stepped(watch._step)  # closures compute losses within
    watch._mistakes.stepped(watch._updated)
    if watch._follows:
        last = watch._readings[-1]
        weights = tuple(
            dataclasses.replace(each, moved=far)
            for each, far in zip(last.weights, watch._reader.moved(), strict=True)
        )
        watch._readings[-1] = dataclasses.replace(last, weights=weights)
    watch._clock.skip()
