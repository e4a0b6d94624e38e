"""Mixup."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pawl import rng
from pawl.kinds import KINDS
from pawl.techniques.record import Facts, Phase, Settings, number
from pawl.techniques.stages import BatchTechnique
from pawl.techniques.values import Batch


class MixupSettings(Settings):
    """Settings of `mixup`."""

    alpha: float = number(0.2, 0.05, 2.0, "both parameters of the Beta distribution", log=True)


def mixup(batch: Batch, settings: Any, key: Tensor) -> Batch:
    """Mixes each row with its neighbor in the (shuffled) batch by one Beta(alpha, alpha) share.

    Numbers are mixed; codes cannot be, so each row keeps its own code with the probability of its
    share, which has the same expectation in one-hot space. The loss is mixed by the same share.

    Args:
        batch: Tensors `[N, B, ...]`.
        settings: `alpha` `[N]`.
        key: `[N]`.
    """
    share = rng.beta(key, settings.alpha)
    mixed = {}
    for index, (name, x) in enumerate(batch.inputs.items()):
        partner = x.roll(1, dims=1)
        weight = share.view(-1, *([1] * (x.dim() - 1)))
        if x.is_floating_point():
            mixed[name] = torch.lerp(partner, x, weight)
        else:
            keep = rng.uniform(rng.fold(key, 11 + index), tuple(x.shape[1:])) < weight
            mixed[name] = torch.where(keep, x, partner)
    return Batch(
        mixed, batch.targets.mixed(share.unsqueeze(1).expand(batch.targets.values.shape[:2]))
    )


def _fits(facts: Facts) -> str | None:
    if any(spec.is_mask for spec in facts.schema.inputs):
        return "rows of unlike lengths have no steps in common"
    if any(spec.tokens for spec in facts.schema.inputs):
        return "tokens of two texts would alternate at random"
    if not KINDS[facts.schema.kind].has_places:
        return None
    if all(spec.dtype != "int64" for spec in facts.schema.inputs):
        return None
    return "steps of two sequences would alternate at random"


TECHNIQUE = BatchTechnique(
    name="mixup",
    summary="Train on mixtures of pairs of rows.",
    reference="Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018",
    apply=mixup,
    phase=Phase.MIXTURE,
    settings=MixupSettings,
    memberwise=frozenset({"alpha"}),
    fits=_fits,
)
