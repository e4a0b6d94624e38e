"""What learners share: which tasks they fit, their module, and their targets as numbers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.data.types import Inputs, ModelSpec
from pawl.kinds import KINDS
from pawl.models import Encoder, Learned, Link
from pawl.techniques.record import Facts
from pawl.techniques.values import FitRows

_MOST_FEATURES = 4096


def fits_tables(facts: Facts) -> str | None:
    """Refuses what is no table: axes but of texts and windows, places; and losses of one's own."""
    schema = facts.schema
    if any((len(spec.shape) > 1 and not spec.features) or spec.is_mask for spec in schema.inputs):
        return "it takes rows of numbers and categories, and this data has inputs with axes"
    if sum(math.prod(s.shape) for s in schema.inputs if not s.tokens) > _MOST_FEATURES:
        return f"it takes rows of at most {_MOST_FEATURES:,} numbers"
    if KINDS[schema.kind].has_places:
        return "it predicts rows, and targets lie on places of a row"
    return "it has a loss of its own, and you gave one" if facts.own_loss else None


def fits_one_target(facts: Facts) -> str | None:
    """Refuses several targets as well."""
    if KINDS[facts.schema.kind].target_axes:
        return "it predicts one target, and this task has several"
    return fits_tables(facts)


def probable(spec: ModelSpec) -> Link:
    """Returns the link of what learns probabilities, and numbers as they are."""
    kind = KINDS[spec.kind]
    if not kind.has_classes:
        return "identity"
    return "log" if kind.exclusive else "logit"


def fewest_outputs(spec: ModelSpec) -> int:
    """Returns how many numbers say what is predicted of a row: one of two classes, else one each."""
    return 1 if spec.kind == "binary" else spec.num_outputs


def as_numbers(rows: FitRows, outputs: int) -> NDArray[np.float64]:
    """Returns targets as columns `[R, O]`: of one class of several 0 and 1."""
    targets = rows.targets.numpy()
    if KINDS[rows.kind].exclusive:
        found: NDArray[np.float64] = np.eye(outputs)[targets]
    else:
        found = targets.reshape(len(targets), -1).astype(np.float64)
    return found


def some(rows: FitRows, most: int) -> FitRows:
    """Returns at most so many of the rows, evenly spread."""
    count = len(rows.targets)
    if count <= most:
        return rows
    return rows.take(torch.linspace(0, count - 1, most).long())


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """While it is open PyTorch computes with one thread: sums are then the same wherever they run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def encoded(module: Learned, rows: FitRows) -> tuple[NDArray[np.float32], Tensor]:
    """Fits the encoder; returns the rows as vectors `[R, D]`, and the target that ordered categories."""
    target = rows.targets if rows.targets.dim() == 1 else rows.targets[:, 0]
    module.encoder.fit(rows.inputs, target)
    return vectors(module.encoder, rows.inputs), target


def vectors(encoder: Encoder, inputs: Inputs) -> NDArray[np.float32]:
    """Returns rows as an encoder makes them, `[R, D]`."""
    found: NDArray[np.float32] = encoder(inputs).numpy()
    return found


def number_columns(spec: ModelSpec) -> tuple[int, ...]:
    """Returns which of an encoded row's numbers are quantities: no categories, flags of gaps, or texts.

    Nothing behind a text: how many numbers that becomes is known only once it was learned.
    """
    found: list[int] = []
    start = 0
    for each in spec.inputs:
        count = math.prod(each.shape)
        if each.tokens:
            break
        if each.cardinalities:
            start += sum(each.cardinalities)  # an encoder with columns of 0 and 1
            continue
        width = each.shape[-1] if each.shape else 1
        for _ in range(count // width):  # steps of a window follow each other
            found += range(start, start + width)
            start += width + sum(each.missing)
    return tuple(found)


def scales(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns what to take from rows `[R, D]` and to multiply them by, `[D]`, to scale their numbers.

    To a mean of 0 and a deviation of 1; columns of 0 and 1 alone stay as they are.
    """
    shift, scale = torch.zeros(x.shape[1]), torch.ones(x.shape[1])
    scaled = ((x != 0) & (x != 1)).any(0)
    mean, deviation = x.double().mean(0), x.double().std(0, correction=0)
    shift[scaled] = mean[scaled].float()
    scale[scaled] = torch.where(deviation > 0, 1.0 / deviation, 1.0)[scaled].float()
    return shift, scale
