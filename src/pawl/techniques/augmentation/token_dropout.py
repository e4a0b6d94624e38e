"""Hidden tokens."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from pawl import rng
from pawl.data.tokens import MASK, PAD, is_text
from pawl.techniques.architecture.encoder import needs_sequences
from pawl.techniques.record import Facts, Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class TokenDropoutSettings(Settings):
    """Settings of `token_dropout`."""

    share: float = number(0.1, 0.01, 0.6, "share of a text's tokens that are hidden", log=True)


def token_dropout(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Puts the id of a hidden token in the place of random tokens, drawn anew for each row and step.

    Padding stays. `share` and `key` are `[N]`; token ids are int64, `[N, B, T]`.
    """
    hidden = dict(batch.inputs)
    for index, (name, x) in enumerate(batch.inputs.items()):
        if x.dtype == torch.int64 and is_text(name):
            drawn = rng.uniform(rng.fold(key, 61 + index), tuple(x.shape[1:]))
            gone = (drawn < settings.share.view(-1, 1, 1)) & (x != PAD)
            hidden[name] = torch.where(gone, MASK, x)
    return dataclasses.replace(batch, inputs=hidden)


def _fits(facts: Facts) -> str | None:
    if not any(spec.tokens for spec in facts.schema.inputs):
        return "the task has no texts"
    return needs_sequences(facts) if not facts.own_model else None


TECHNIQUE = BatchTechnique(
    name="token_dropout",
    summary="Hide random tokens of a text.",
    reference="Iyyer et al., Deep Unordered Composition Rivals Syntactic Methods for Text "
    "Classification, ACL 2015 (word dropout)",
    apply=token_dropout,
    phase=Phase.VALUES,
    settings=TokenDropoutSettings,
    memberwise=frozenset({"share"}),
    fits=_fits,
)
