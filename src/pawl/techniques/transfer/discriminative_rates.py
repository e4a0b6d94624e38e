"""Lower learning rates for the first layers of a pretrained model."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pawl.techniques.record import Phase, Settings, number
from pawl.techniques.stages import WeightsTechnique
from pawl.techniques.transfer._starts import needs_body
from pawl.techniques.values import StepContext


class DiscriminativeRatesSettings(Settings):
    """Settings of `discriminative_rates`."""

    first: float = number(
        0.1, 0.005, 0.9, "learning rate of the first layer, as a share of the last one's", log=True
    )


def discriminative_rates(
    weights: Tensor, state: dict[str, Tensor], context: StepContext, settings: Any
) -> None:
    """Scales the optimizer's step by `first ** (1 - d)`, `d` from 0 (first layer) to 1 (last), in place.

    The step is scaled, not the gradient: optimizers that go by the gradient's direction alone would not
    notice. As steps are in proportion to the rate, it is what a rate per layer would do. Layers are in
    the order in which they run; the paper's factor between neighbors is `first ** (1 / (layers - 1))`.

    Args:
        weights: `[N, P]`, behind the step.
        state: None.
        context: Weights before the step, and the layout.
        settings: `first`, `[N]`.
    """
    assert context.before is not None
    depth = context.layout.depths(weights.device)
    share = settings.first.unsqueeze(1) ** (1.0 - depth)
    weights.copy_(context.before.lerp(weights, share))


TECHNIQUE = WeightsTechnique(
    name="discriminative_rates",
    summary="Train the first layers of a pretrained model more slowly.",
    reference="Howard and Ruder, Universal Language Model Fine-tuning, ACL 2018, section 3.2",
    apply=discriminative_rates,
    phase=Phase.INSTEAD,
    settings=DiscriminativeRatesSettings,
    memberwise=frozenset({"first"}),
    conflicts=frozenset({"linear_probe", "from_scratch", "schedule_free"}),
    fits=needs_body,
    before=True,
)
