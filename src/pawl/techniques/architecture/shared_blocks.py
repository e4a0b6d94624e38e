"""Blocks alike that share their weights."""

from __future__ import annotations

from torch import nn

from pawl.data.types import Inputs
from pawl.models.blocks import Part, no_parts, parts, runs
from pawl.models.normalizing import normalizations
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


def shared_blocks(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Gives blocks alike, one behind the other, the weights of the first of them.

    Each keeps normalizations of its own: what flows through a block differs in scale with its depth.
    """
    for first, *others in _alike(module, sample):
        for other in others:
            _tie(module, first, other)
    return module


def _tie(module: nn.Module, first: Part, other: Part) -> None:
    """Lets a part use the weights of another one, which is alike."""
    for one, mine in zip(first.children, other.children, strict=True):
        source, target = (
            module.get_submodule(part.home).get_submodule(name)
            for part, name in ((first, one), (other, mine))
        )
        apart = set(normalizations(source))
        for name, layer in source.named_modules():
            if name in apart or (not name and normalizations(nn.ModuleList([layer]))):
                continue
            own = target.get_submodule(name)
            for key, weight in layer.named_parameters(recurse=False):
                setattr(own, key, weight)


def _alike(module: nn.Module, sample: Inputs) -> list[list[Part]]:
    return [run for run in runs(parts(module, sample), module) if len(run) > 1]


def _fits(facts: Facts) -> str | None:
    if not parts(facts.module, facts.sample):
        return no_parts(facts.module, facts.sample)
    if not _alike(facts.module, facts.sample):
        return "no two blocks of the model, one behind the other, are alike"
    if facts.pretrained:
        return "the blocks' weights were learned, and all but the first's would be lost"
    return None


TECHNIQUE = ModelTechnique(
    name="shared_blocks",
    summary="Let blocks alike, one behind the other, share their weights.",
    reference="Lan et al., ALBERT, ICLR 2020; Savarese and Maire, Learning Implicitly Recurrent CNNs "
    "Through Parameter Sharing, ICLR 2019 (normalizations apart)",
    apply=shared_blocks,
    phase=Phase.COPIES,
    fits=_fits,
)
