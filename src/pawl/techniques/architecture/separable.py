"""Convolutions in two parts."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from pawl.data.types import Inputs
from pawl.models import separable as in_two_parts
from pawl.models.computed import resizable
from pawl.models.edits import edited
from pawl.models.surgery import replace
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_FEWEST = 4
"""Channels below which a convolution has nothing to save."""


def separable(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Makes of each standard convolution one of each channel by itself and one over channels.

    `k k C C'` weights become `k k C + C C'`, drawn anew. Convolutions of fewer than four channels stay.
    """
    edits = [partial(_exchange, names={name}) for name in _standard(module)]
    return edited(module, sample, edits, "separable", same=False)


def _exchange(module: nn.Module, names: set[str]) -> None:
    def make(name: str, old: nn.Module) -> nn.Module | None:
        return in_two_parts(old) if name in names else None  # type: ignore[arg-type]

    replace(module, make)


def _standard(module: nn.Module) -> list[str]:
    return [
        name
        for name, each in module.named_modules()
        if type_before_parametrizations(each) in (nn.Conv1d, nn.Conv2d)
        and isinstance(each, nn.Conv1d | nn.Conv2d)
        and each.groups == 1
        and min(each.in_channels, each.out_channels) >= _FEWEST
        and min(each.kernel_size) > 1
        and (isinstance(each.weight, nn.Parameter) or is_parametrized(each, "weight"))
        and resizable(each)
    ]


def _fits(facts: Facts) -> str | None:
    if not _standard(facts.module):
        return f"the model has no standard convolution of at least {_FEWEST} channels"
    if facts.pretrained:
        return (
            "the model's weights are the same for every seed: they were learned, and would be lost"
        )
    return None


TECHNIQUE = ModelTechnique(
    name="separable",
    summary="Make two cheap convolutions of each: by channel, then across channels.",
    reference="Howard et al., MobileNets, 2017",
    apply=separable,
    phase=Phase.COPIES,
    fits=_fits,
)
