"""From what a model returns to logits, probabilities and values."""

from __future__ import annotations

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
        raise TrialError(f"the model returned {type(raw).__name__}; it must return one tensor")
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
