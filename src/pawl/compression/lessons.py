"""What networks learn from: rows with targets, and rows without, of which only the original speaks.

Shape legend: `R` rows, `P` one row's prediction, `S` one row's target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pawl.compression.work import Work
from pawl.data.types import Examples
from pawl.deployment.predictions import unshifted
from pawl.kinds import KINDS

TEACHER_SHARE = 0.5
"""Of the teacher in what is learned; the rest is the target's: where the teacher was trained on the same
rows, it says little more than the targets."""


@dataclass(frozen=True, eq=False)
class Lessons:
    """Rows, and what is learned of them.

    Attributes:
        rows: All of them; where a row has no target, it is what the original says.
        said: What the original predicts, `[R, *P]`.
        labels: Probabilities `[R, *P]`, or values `[R, *S]`: the mean of target and of what the original
            predicts, or where there is no target the latter.
    """

    rows: Examples
    said: np.ndarray
    labels: Tensor


def lessons(work: Work) -> Lessons:
    """Returns what is learned from, the same each time."""
    if Lessons not in work.known:
        work.known[Lessons] = _lessons(work)
    return cast(Lessons, work.known[Lessons])


def _lessons(work: Work) -> Lessons:
    rows, said = work.rows, work.taught
    labels = soft_labels(work, rows.known_targets, said)
    more = work.unlabeled
    if more is None:
        return Lessons(rows, said, labels)
    theirs = work.teacher(more)
    soft = _plain(work, theirs)
    kind = KINDS[work.schema.kind]
    targets = soft
    if kind.has_classes:
        targets = soft.argmax(-1) if kind.exclusive else soft > 0.5
    inputs = {name: torch.cat([x, more.inputs[name]]) for name, x in rows.inputs.items()}
    own = rows.known_targets
    whole = Examples(inputs, torch.cat([own, targets.to(own.dtype)]))
    return Lessons(whole, np.concatenate([said, theirs]), torch.cat([labels, soft]))


def soft_labels(work: Work, targets: Tensor, predicted: np.ndarray) -> Tensor:
    """Returns the mean of targets and of what the bundle predicts.

    Args:
        work: Kind, classes and shift.
        targets: `[R, *S]`.
        predicted: `[R, *P]`.

    Returns:
        Probabilities `[R, *P]`, or values `[R, *S]`.
    """
    theirs = _plain(work, predicted)
    own = targets.float()
    if KINDS[work.schema.kind].exclusive:
        own = F.one_hot(targets, theirs.shape[-1]).float()
    return (1.0 - TEACHER_SHARE) * own + TEACHER_SHARE * theirs


def _plain(work: Work, predicted: np.ndarray) -> Tensor:
    """Returns predictions as they were before the shift that makes labels."""
    plain = unshifted(predicted, work.shift) if work.shift else predicted
    return torch.from_numpy(np.ascontiguousarray(plain)).float()
