"""Which of a model's inputs are codes that an embedding looks up, and how many it knows."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from pawl.data.types import Inputs
from pawl.models.operations import Operation, traced

_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_SAME_CODES = frozenset({
    "long", "int", "to", "type", "view", "reshape", "flatten", "squeeze", "unsqueeze", "transpose",
    "permute", "contiguous", "clone",
})  # fmt: skip
"""Functions that return the codes that they got, all of them."""


def known_codes(module: nn.Module, sample: Inputs) -> dict[str, int]:
    """Returns how many codes a model knows, by the inputs of whole numbers that it looks up.

    An embedding of `K` rows knows the codes 0 to K - 1. Inputs that a model takes apart first, or
    computes with, are left out, and so is all of a model that cannot be run on zeros.

    Args:
        module: Takes `Inputs`; left as it is.
        sample: A few rows.

    Example:
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.embedding = nn.Embedding(40, 2)
        ...     def forward(self, inputs):
        ...         return self.embedding(inputs["x"]).mean(1)
        >>> known_codes(Net(), {"x": torch.zeros(3, 5, dtype=torch.int64)})
        {'x': 40}
    """
    given = {n: torch.zeros_like(x) if x.dtype == torch.int64 else x for n, x in sample.items()}
    whole = {id(x): name for name, x in given.items() if x.dtype == torch.int64}
    if not whole:
        return {}
    try:
        trace, _ = traced(module, lambda each: each(given))
    except Exception:  # what is wrong is said where the model is checked
        return {}
    names = {at: whole[id(x)] for at, x in enumerate(trace.tensors) if id(x) in whole}
    found: dict[str, int] = {}
    for operation in trace.operations:
        name = names.get(operation.inputs[0]) if operation.inputs else None
        if name is None:
            continue
        if (count := _count(operation)) is not None:
            found[name] = min(count, found.get(name, count))
        elif operation.name in _SAME_CODES:
            names.update(dict.fromkeys(operation.outputs, name))
    return found


def _count(operation: Operation) -> int | None:
    if isinstance(operation.layer, _EMBEDDINGS):
        return operation.layer.num_embeddings
    if operation.function is F.embedding:
        return len(operation.args[1] if len(operation.args) > 1 else operation.kwargs["weight"])
    return None


def unknown_code(inputs: Inputs, codes: dict[str, int]) -> str | None:
    """Says which code of which input is none that a model knows; `None` if it knows all.

    Example:
        >>> unknown_code({"x": torch.tensor([[3, 41], [-1, 2]])}, {"x": 40})
        "input 'x' has the code 41, and the model knows 0 to 39"
    """
    for name, count in codes.items():
        given = inputs[name]
        wrong = given[(given < 0) | (given >= count)]
        if len(wrong):
            return f"input {name!r} has the code {wrong[0]}, and the model knows 0 to {count - 1}"
    return None
