"""Whether a model returns probabilities, where logits are wanted."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from pawl.errors import TaskError

_CLASSES, _FEWEST, _APART = 2, 4, 1e-4
"""Axes and classes at least, rows at least, and how far from 1 sums may be."""
_ENDS = {"Sigmoid": "a sigmoid", "Softmax": "a softmax"}
_MOVES = frozenset(
    (
        "Alias", "AsStrided", "Clamp", "ClampMax", "ClampMin", "Clone", "Expand", "Index",
        "IndexSelect", "Permute", "Reshape", "ReshapeAlias", "Select", "Slice", "Squeeze", "T",
        "ToCopy", "Transpose", "Unsqueeze", "UnsafeView", "View",
    )
)  # fmt: skip
"""Operations behind which a probability is one still: they move, copy or bound values."""


def refuse_probabilities(predicted: Tensor) -> None:
    """Refuses a model of classes that returns probabilities.

    They would be taken as logits: by the loss, unless it is the user's, and for predictions always.
    Logarithms of probabilities are logits.

    Args:
        predicted: What predicts, as the model returned it while it trains.

    Raises:
        TaskError: It comes from a sigmoid or a softmax, or is between 0 and 1 and 1 in all for each row.
    """
    node: Any = predicted.grad_fn
    while node is not None and (name := _operation(node)) in _MOVES:
        node = node.next_functions[0][0]
    if node is not None and name in _ENDS:
        seen = f"the model ends in {_ENDS[name]}, so it returns probabilities"
    elif _sum_to_one(predicted):
        seen = "the model returns probabilities, between 0 and 1 and 1 in all for each row"
    else:
        return
    raise TaskError(
        f"{seen}; of classes it must return logits: leave what makes them probabilities out "
        "(predictions are probabilities all the same), and let a loss of your own take logits, as "
        "binary_cross_entropy_with_logits and cross_entropy do"
    )


def _sum_to_one(predicted: Tensor) -> bool:
    """Tells of `[B, C, ...]` whether all are between 0 and 1, and 1 in all for each row and place."""
    if predicted.dim() < _CLASSES or predicted.shape[1] < _CLASSES or len(predicted) < _FEWEST:
        return False
    shares, sums = predicted.detach(), predicted.detach().sum(1)
    between = ((shares >= 0) & (shares <= 1)).all()
    return bool(between and (sums - 1).abs().max() < _APART)


def _operation(node: Any) -> str:
    """Returns `Sigmoid` for `SigmoidBackward0`."""
    return re.sub(r"Backward\d*$", "", node.name())
