"""Only the last layer of a pretrained model trains."""

from __future__ import annotations

from typing import Any

from torch import nn

from pawl.data.types import Inputs
from pawl.models import freeze, hold_all_but
from pawl.techniques.record import Phase
from pawl.techniques.stages import ModelTechnique
from pawl.techniques.transfer._starts import head, needs_body


def linear_probe(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Freezes all weights but those of the last layer, and keeps the rest in evaluation mode.

    So batch normalization goes by the statistics that it came with, and dropout is off: what reaches
    the last layer depends on the row alone. What other techniques put in still trains. The frozen
    weights are held once for all members.

    It is a lower bound of what a start is worth: cheap, hard to overfit, and worse than training all
    where rows are many or unlike what was learned before.
    """
    last = head(module, sample)
    for name, each in module.named_modules():
        if name != last:
            for weights in each.parameters(recurse=False):
                weights.requires_grad_(False)
    hold_all_but(
        module, {name for name, _ in module.get_submodule(last).named_modules(prefix=last)}
    )
    return freeze(module)


TECHNIQUE = ModelTechnique(
    name="linear_probe",
    summary="Train only the last layer of a pretrained model.",
    reference="Alain and Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, 2016",
    apply=linear_probe,
    phase=Phase.BLOCKS,
    group="trained",
    fits=needs_body,
)
