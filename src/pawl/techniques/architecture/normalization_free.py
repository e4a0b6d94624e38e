"""Networks that normalize nothing."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pawl.data.types import Inputs
from pawl.models.hooked import at_first
from pawl.models.normalizing import normalizations
from pawl.models.scaling import learned_statistics, normalized_at_first, without_normalizing
from pawl.models.surgery import observe, replace
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


def normalization_free(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Takes normalizations out; the scale and the shift of each stay, and are learned on.

    Of learned batch normalization what it computes in evaluation stays, so that the model predicts the
    same. What has learned nothing yet starts with the scale and the shift that normalize what it sees
    of some rows, one of each for all of its numbers: nothing grows from layer to layer at first.
    """
    seen = observe(module, normalizations(module), sample)
    fresh: list[nn.Module] = []

    def make(name: str, old: nn.Module) -> nn.Module | None:
        if not seen.get(name):
            return None
        new = without_normalizing(old, len(seen[name][0]))
        if not learned_statistics(old):
            fresh.append(new)
        return new

    replace(module, make)
    at_first(module, fresh, normalized_at_first, sample)
    return module


def _fits(facts: Facts) -> str | None:
    found = normalizations(facts.module)
    seen = observe(facts.module, found, facts.sample)
    if not any(seen.values()):
        return "the model has no normalization that is known"
    for name in found if facts.pretrained else ():
        layer = facts.module.get_submodule(name)
        if not isinstance(layer, _BatchNorm) or layer.running_mean is None:
            return (
                f"{name!r} was learned and divides by what it sees, of each row; of learned models "
                "batch normalization alone can be taken out"
            )
    if shared := [name for name, shapes in seen.items() if len({len(s) for s in shapes}) > 1]:
        return f"{shared[0]!r} normalizes inputs of unlike dimensions"
    return None


TECHNIQUE = ModelTechnique(
    name="normalization_free",
    summary="Take normalizations out of the model; scales and shifts stay.",
    reference="Brock, De and Smith, Characterizing Signal Propagation to Close the Performance Gap in "
    "Unnormalized ResNets, ICLR 2021 (without their scaled weights); Salimans and Kingma, Weight "
    "Normalization, NIPS 2016, section 3 (first scales by data)",
    apply=normalization_free,
    phase=Phase.NORMALIZATION,
    group="normalization",
    fits=_fits,
)
