"""Whether a model ends in a sigmoid or a softmax, where logits are wanted."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from pawl.errors import TaskError

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
        TaskError: It comes from a sigmoid or a softmax.
    """
    node: Any = predicted.grad_fn
    while node is not None and (name := _operation(node)) in _MOVES:
        node = node.next_functions[0][0]
    if node is None or name not in _ENDS:
        return
    raise TaskError(
        f"the model ends in {_ENDS[name]}, so it returns probabilities; of classes it must return "
        "logits: leave that last layer out (predictions are probabilities all the same), and let a "
        "loss of your own take logits, as binary_cross_entropy_with_logits and cross_entropy do"
    )


def _operation(node: Any) -> str:
    """Returns `Sigmoid` for `SigmoidBackward0`."""
    return re.sub(r"Backward\d*$", "", node.name())
