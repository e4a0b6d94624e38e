"""From what a model returns to logits, probabilities and values."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pawl.errors import TrialError
from pawl.task import Kind


def outputs(raw: Tensor, kind: Kind, num_outputs: int) -> Tensor:
    """Returns a model's raw outputs as logits `[B, C]`, or values `[B]` for a regression.

    A two-class model may give one logit per row, for the second class.

    Raises:
        TrialError: Any other shape.
    """
    if not isinstance(raw, Tensor):
        got = type(raw).__name__
        if isinstance(raw, Mapping):
            got += f" ({', '.join(map(str, raw))})"
        raise TrialError(
            f"the model returned {got}; it must return one tensor: give a module whose forward calls "
            "it and returns the one that is to be trained"
        )
    single = raw.dim() == 1 or (raw.dim() == 2 and raw.shape[-1] == 1)
    if kind == "regression" and single:
        return raw.flatten()
    if kind == "binary" and single:
        logit = raw.flatten()
        return torch.stack([torch.zeros_like(logit), logit], dim=-1)
    if kind != "regression" and raw.dim() == 2 and raw.shape[-1] == num_outputs:
        return raw
    allowed = {
        "regression": "[B] or [B, 1]",
        "binary": "[B, 2] or, for one logit, [B] or [B, 1]",
        "multiclass": f"[B, {num_outputs}]",
    }[kind]
    raise TrialError(f"the model returned shape {list(raw.shape)}; for {kind} it must be {allowed}")
