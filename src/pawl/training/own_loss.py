"""The first call of a user's loss, so that one that cannot work is named at the start."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pawl.errors import TaskError, first_line
from pawl.models import predicting
from pawl.task import LossFunction

_UNLIKE = "Using a target size"
"""How PyTorch's warning starts where a loss compares outputs and targets of unlike shapes."""


def check_loss(loss: LossFunction, raw: Any, targets: Tensor) -> None:
    """Calls a loss on what a model returned for a batch.

    Args:
        loss: The user's.
        raw: All that the model returned.
        targets: Of the same rows.

    Raises:
        TaskError: It raised, compares tensors of unlike shapes, returned no finite number, or nothing
            could be learned by it.
    """
    name = getattr(loss, "__name__", type(loss).__name__)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.filterwarnings("always", message=_UNLIKE)
            value = loss(raw, targets)
    except (Exception, SystemExit) as error:
        raise TaskError(
            f"the loss {name} raised {type(error).__name__}: {first_line(error)}; it is called "
            f"with outputs {_shapes(raw)} and targets {tuple(targets.shape)} "
            f"({targets.dtype}){_as_floats(str(error), raw, targets)}"
        ) from error
    for each in caught:
        if str(each.message).startswith(_UNLIKE):
            raise TaskError(_unlike(name, str(each.message)))
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    if not isinstance(value, Tensor) or value.shape not in ((), targets.shape[:1]):
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise TaskError(
            f"the loss {name} returned {got}; it must return one number per batch, or one per row"
        )
    value = value.mean()
    if not value.isfinite() and predicting(raw).isfinite().all():
        raise TaskError(
            f"the loss {name} is {float(value.detach())} on finite outputs of an untrained model; it "
            "must be a finite number there"
        )
    if not value.requires_grad:
        raise TaskError(
            f"the loss {name} does not depend on the outputs by differentiable operations "
            "(detached, rounded or constant), so nothing could be learned"
        )


def _unlike(name: str, message: str) -> str:
    """Says what to write where a loss would compare each row with all others."""
    theirs, mine = (
        tuple(map(int, re.findall(r"\d+", found)))
        for found in re.findall(r"torch\.Size\(\[([\d, ]*)\]\)", message)
    )
    todo = "let the loss bring both to one shape"
    if mine == (*theirs[:1], 1, *theirs[1:]):
        wanted = ", ".join(("B", *map(str, theirs[1:])))
        todo = (
            f"return [{wanted}] from the model, or write the loss as in "
            "`lambda outputs, targets: mse_loss(outputs[:, 0], targets)`"
        )
    return (
        f"the loss {name} compares outputs {mine} with targets {theirs}; rows would be compared with "
        f"other rows: {todo}"
    )


def _as_floats(message: str, raw: Any, targets: Tensor) -> str:
    """Returns how a loss of numbers is written for two classes, if that is what was raised."""
    asked = "Long" in message or "same as input size" in message
    logits = {(): "outputs", (1,): "outputs[:, 0]", (2,): "outputs[:, 1] - outputs[:, 0]"}
    logit = logits.get(tuple(raw.shape[1:])) if isinstance(raw, Tensor) else None
    if not asked or logit is None or targets.dtype != torch.int64 or targets.dim() != 1:
        return ""
    return (
        "; classes are whole numbers, so for binary cross-entropy write `lambda outputs, targets: "
        f"F.binary_cross_entropy_with_logits({logit}, targets.float())`"
    )


def _shapes(raw: Any) -> str:
    if isinstance(raw, Mapping):
        return f"{{{', '.join(f'{name}: {_shapes(each)}' for name, each in raw.items())}}}"
    if isinstance(raw, tuple | list):
        return f"({', '.join(map(_shapes, raw))})"
    return str(tuple(raw.shape)) if isinstance(raw, Tensor) else type(raw).__name__
