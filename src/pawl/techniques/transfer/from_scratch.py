"""The same model from random weights, to compare a start with."""

from __future__ import annotations

from typing import Any

from torch import nn

from pawl.data.types import Inputs
from pawl.errors import TrialError
from pawl.models import Adapter, is_pretrained
from pawl.techniques.record import Phase
from pawl.techniques.stages import ModelTechnique
from pawl.techniques.transfer._starts import needs_weights


def from_scratch(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Draws all weights anew, by the seed.

    Where weights were given beside the model they are not loaded, so the first weights are the model's
    own. Where the model itself came with weights, its layers draw theirs as PyTorch does by default.

    Raises:
        TrialError: A module with weights does not say how they are drawn (`reset_parameters`).
    """
    if not is_pretrained(module):
        return module
    for name, each in module.named_modules():
        if isinstance(each, Adapter):
            each.pretrained = False
        reset = getattr(each, "reset_parameters", None)
        if callable(reset):
            reset()
        elif next(each.parameters(recurse=False), None) is not None:
            raise TrialError(
                f"{name!r} ({type(each).__name__}) has weights and no reset_parameters; give the model "
                "without its weights, and the weights beside it"
            )
    return module


TECHNIQUE = ModelTechnique(
    name="from_scratch",
    summary="Do not start from the weights that a model comes with.",
    reference="He et al., Rethinking ImageNet Pre-training, ICCV 2019",
    apply=from_scratch,
    phase=Phase.BLOCKS,
    group="trained",
    fits=needs_weights,
    searched=False,
    unlearned=True,
)
