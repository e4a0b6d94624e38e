"""Skip connections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from pawl.data.types import Inputs
from pawl.models import Net, Skip, is_pretrained
from pawl.models.blocks import no_parts, parts, place
from pawl.models.edits import edited
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


def residual(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Adds the input of layers, or of parts of a user's model, that keep its shape to their output.

    Pawl's own network is rebuilt. Parts that were learned start with a skip connection of weight 0.
    """
    if isinstance(module, Net):
        return module.rebuilt(residual=True)
    learned = is_pretrained(module)
    make = partial(Skip, gated=learned)
    edits: list[Callable[[nn.Module], None]] = [
        partial(place, part=part, make=make) for part in parts(module, sample) if not part.residual
    ]
    return edited(module, sample, edits, "residual", same=learned)


def _fits(facts: Facts) -> str | None:
    if isinstance(facts.module, Net):
        return None
    found = parts(facts.module, facts.sample)
    if not found:
        return no_parts(facts.module, facts.sample)
    if all(part.residual for part in found):
        return "the parts of the model that keep shapes have skip connections already"
    return None


TECHNIQUE = ModelTechnique(
    name="residual",
    summary="Add the input of each hidden layer, or part of your model, to its output.",
    reference="He et al., Deep Residual Learning for Image Recognition, 2016",
    apply=residual,
    phase=Phase.BLOCKS,
    fits=_fits,
)
