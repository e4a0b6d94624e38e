"""Hidden units in front of the outputs."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models.operations import traced
from pawl.models.surgery import replace
from pawl.models.wider_heads import HiddenHead
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


class HiddenHeadSettings(Settings):
    """Settings of `hidden_head`."""

    units: int = Field(64, ge=8, le=1024, description="hidden units beside the last linear layer")


def hidden_head(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Lets hidden units add to what the last linear layer returns; at first they add nothing.

    So the function that the model starts from stays, also where it was learned.
    """
    name = _head(module, sample)

    def make(each: str, old: nn.Module) -> nn.Module | None:
        if each != name:
            return None
        assert isinstance(old, nn.Linear)
        return HiddenHead(old, settings.units)

    replace(module, make)
    return module


def _head(module: nn.Module, sample: Inputs) -> str:
    """Returns the name of the linear layer behind which no layer has weights; empty if there is none.

    One that is called once, whose weights are its own and no other layer's.
    """
    trace, ran = traced(module, lambda m: m(sample))
    weighted = [op for op in trace.operations if op.layer is not None and _weights(op.layer)]
    if not weighted or type(weighted[-1].layer) is not nn.Linear:
        return ""
    names = [op.address.partition("#")[0] for op in weighted]
    owners = [id(weight) for _, weight in ran.named_parameters(remove_duplicate=False)]
    alone = all(owners.count(number) == 1 for number in _weights(weighted[-1].layer))
    return names[-1] if alone and names.count(names[-1]) == 1 else ""


def _weights(layer: nn.Module) -> list[int]:
    return [id(weight) for weight in layer.parameters()]


def _fits(facts: Facts) -> str | None:
    if _head(facts.module, facts.sample):
        return None
    return (
        "the model's last layer with weights is no linear one that is called once and shares none"
    )


TECHNIQUE = ModelTechnique(
    name="hidden_head",
    summary="Let hidden units add to what the last linear layer says.",
    reference="Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015 (connected layers on "
    "top); beside a linear layer and from zero on, as in Bachlechner et al., ReZero, 2020",
    apply=hidden_head,
    phase=Phase.COPIES,
    settings=HiddenHeadSettings,
    # Weights that are the embedding's too, and heads of several predictors in one network.
    conflicts=frozenset({"weight_tying", "tabm", "batch_ensemble"}),
    fits=_fits,
)
