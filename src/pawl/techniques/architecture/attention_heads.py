"""Number of heads of attention."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.errors import TrialError
from pawl.models.heads import attentions, exchange, nearest, planned
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_FACTORS = (0.25, 0.5, 2.0, 4.0)
_NOTHING = "nothing in the model attends with heads, as far as is known"


class AttentionHeadsSettings(Settings):
    """Settings of `attention_heads`."""

    factor: Literal[0.25, 0.5, 2.0, 4.0] = Field(  # type: ignore[valid-type]  # pydantic takes floats
        2.0, description="heads relative to the model's"
    )


def attention_heads(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Lets attention have more heads, which are narrower, or fewer, which are wider.

    Weights keep their shapes, `H` heads of `D` numbers become `H'` of `H D / H'`; what the model
    predicts does not stay, also where it was learned. The number is the one nearest to what the factor
    asks for that divides `H D`. It is set in the attributes of what attends (`nn.MultiheadAttention`, or
    a module of yours); where none says it, or weights or tables are of one head's size, heads stay.

    Raises:
        TrialError: No attention can have so many.
    """
    plan = exchange(module, sample, partial(nearest, factor=settings.factor))
    if not plan.ways:
        why = next(iter(plan.reasons), _NOTHING)
        raise TrialError(f"attention_heads of factor {settings.factor:g}: {why}")
    return module


def _fits(facts: Facts) -> str | None:
    if not attentions(facts.module, facts.sample):
        return _NOTHING
    reasons: list[str] = []
    for factor in _FACTORS:
        plan = planned(facts.module, facts.sample, partial(nearest, factor=factor))
        if plan.ways:
            return None
        reasons += plan.reasons
    # That it does not run says more than that a number does not divide another.
    return min(reasons, key=lambda each: each.startswith("no such number"))


TECHNIQUE = ModelTechnique(
    name="attention_heads",
    summary="More heads of attention, or fewer; weights keep their shapes.",
    reference="Vaswani et al., Attention Is All You Need, 2017, table 3; Michel, Levy and Neubig, Are "
    "Sixteen Heads Really Better than One?, NeurIPS 2019",
    apply=attention_heads,
    phase=Phase.WIDTH,
    settings=AttentionHeadsSettings,
    fits=_fits,
)
