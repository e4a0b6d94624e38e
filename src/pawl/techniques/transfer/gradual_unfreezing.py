"""The layers of a pretrained model begin to train one after the other, the last first."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import WeightsTechnique
from pawl.techniques.transfer._starts import needs_body
from pawl.techniques.values import StepContext


class GradualUnfreezingSettings(Settings):
    """Settings of `gradual_unfreezing`."""

    until: float = number(0.4, 0.05, 0.9, "share of the steps after which all layers train")


def gradual_unfreezing(
    weights: Tensor, state: dict[str, Tensor], context: StepContext, settings: Any
) -> None:
    """Undoes the optimizer's step for layers whose turn has not come, in place.

    A layer of depth `d`, from 0 (first) to 1 (last), trains from the share `until (1 - d)` of the steps
    on. The optimizer's moments see all gradients from the start on, and batch normalization its
    statistics; nothing is saved of a step's time.

    Args:
        weights: `[N, P]`, behind the step.
        state: None.
        context: Weights before the step, steps and the layout.
        settings: `until`, `[N]`.
    """
    assert context.before is not None
    depth = context.layout.depths(weights.device)
    taken = ((context.step - 1.0) / context.total).unsqueeze(1)
    trains = (taken >= settings.until.unsqueeze(1) * (1.0 - depth)).to(weights)
    weights.copy_(context.before.lerp(weights, trains))


TECHNIQUE = WeightsTechnique(
    name="gradual_unfreezing",
    summary="Let the layers of a pretrained model begin to train one after the other.",
    reference="Howard and Ruder, Universal Language Model Fine-tuning, ACL 2018, section 3.3",
    apply=gradual_unfreezing,
    phase=Phase.INSTEAD,
    settings=GradualUnfreezingSettings,
    memberwise=frozenset({"until"}),
    conflicts=frozenset({"linear_probe", "from_scratch", "schedule_free"}),
    fits=needs_body,
    before=True,
)
