"""The last value: what a person without a model predicts of a series, and what a model should beat."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pawl.data.types import Examples, Schema
from pawl.data.windows import WINDOW, num_seen
from pawl.kinds import KINDS


def last_values(schema: Schema, known: Examples, rows: Examples) -> Tensor | None:
    """Predicts the last target that is known to each row; of classes, what follows the last one.

    Probabilities are shares of the rows that train whose last known class is the same (of a label: each
    label by itself), with one more row of each. Rows before which no target is known get the mean.

    Args:
        schema: The data's.
        known: The rows that train.
        rows: The rows to predict.

    Returns:
        `[R, *P]`, on the CPU; `None` where rows do not see those before them.
    """
    if schema.window is None:
        return None
    kind = KINDS[schema.kind]
    mine, theirs = (_last(schema, each.inputs[WINDOW].cpu()) for each in (rows, known))
    targets = known.known_targets.cpu()
    if not kind.has_classes:
        mean = targets.double().mean(0).float().reshape(-1)
        found = torch.where(mine.isnan(), mean, mine)
        return found if kind.target_axes else found[:, 0]
    if kind.exclusive:
        count = schema.num_outputs
        return _shares(_codes(theirs), F.one_hot(targets.long(), count), count + 1)[_codes(mine)]
    each = []
    for label in range(targets.shape[1]):
        codes = _codes(theirs[:, label : label + 1])
        shares = _shares(codes, F.one_hot(targets[:, label].long(), 2), 3)[:, 1]
        each.append(shares[_codes(mine[:, label : label + 1])])
    return torch.stack(each, 1)


def _last(schema: Schema, windows: Tensor) -> Tensor:
    """Returns the last targets that are known, as windows have them, `[R, C']`; NaN without."""
    seen = windows[:, :, num_seen(schema) :]
    there = ~seen.isnan()
    steps = torch.arange(1, seen.shape[1] + 1).view(1, -1, 1)
    latest = (there * steps).argmax(1, keepdim=True)
    return seen.gather(1, latest).squeeze(1)


def _codes(last: Tensor) -> Tensor:
    """Returns which class the last one was, `[R]`; where none is known, the number behind all."""
    count = last.shape[1]
    codes = last[:, 0].nan_to_num().long() if count == 1 else last.nan_to_num().argmax(1)
    return torch.where(last.isnan().any(1), max(2, count), codes)


def _shares(before: Tensor, after: Tensor, states: int) -> Tensor:
    """Returns the shares of what follows each state, `[states, C]`."""
    counts = torch.ones(states, after.shape[1])
    counts.index_add_(0, before, after.float())
    return counts / counts.sum(1, keepdim=True)
