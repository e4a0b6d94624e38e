"""What reads a text or another sequence."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import SequenceNet
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


class EncoderSettings(Settings):
    """Settings of `encoder`."""

    kind: Literal["bag", "convolution", "recurrent", "attention"] = Field(
        "convolution",
        description="mean and maximum of the steps in any order, dilated convolutions, gated recurrence "
        "in both directions, or a small encoder of attention",
    )


def encoder(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Rebuilds the network with another kind of reader of its sequences."""
    assert isinstance(module, SequenceNet)
    return module.rebuilt(encoder=settings.kind)


def needs_sequences(facts: Facts) -> str | None:
    """Says that the model is not the network that pawl builds for sequences."""
    if facts.own_model or not isinstance(facts.module, SequenceNet):
        return "it needs the network that pawl builds for texts and sequences"
    return None


TECHNIQUE = ModelTechnique(
    name="encoder",
    summary="What reads texts and sequences: a bag, convolutions, a recurrence or attention.",
    reference="Joulin et al., Bag of Tricks for Efficient Text Classification, 2017 (bag); Bai, Kolter "
    "and Koltun, 2018 (convolution); Feng et al., Were RNNs All We Needed?, 2024 (recurrent); Vaswani "
    "et al., Attention Is All You Need, 2017 (attention)",
    apply=encoder,
    phase=Phase.BLOCKS,
    settings=EncoderSettings,
    fits=needs_sequences,
)
