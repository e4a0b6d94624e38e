"""How weights start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from pawl.data.types import Inputs
from pawl.models import frozen
from pawl.models.computed import put, settable
from pawl.models.hooked import at_first
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_PLAIN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LAYERS = (*_PLAIN, nn.RNNBase)
_DRAWN: dict[str, Callable[[Tensor], Any]] = {
    "he": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "xavier": nn.init.xavier_uniform_,
    "orthogonal": nn.init.orthogonal_,
    "data_dependent": nn.init.orthogonal_,
}
_LEAST = 1e-4
"""Of a deviation; a layer that says the same of all rows keeps its weights."""


class InitializationSettings(Settings):
    """Settings of `initialization`."""

    method: Literal["he", "xavier", "orthogonal", "data_dependent"] = Field(
        "he", description="what weights are drawn from"
    )


def initialization(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Draws the weights of linear, convolutional and recurrent layers anew but the last one's.

    Biases get 0. The last layer keeps what it had: outputs that start large cost the first steps. What
    recurrent layers take from the step before is orthogonal in any case, gate by gate. Data-dependent
    weights are orthogonal ones, divided by the deviation of what their layer says of some rows.
    """
    draw = _DRAWN[settings.method]
    found = _drawn_anew(module)
    for layer in found:
        if isinstance(layer, nn.RNNBase):
            _draw_recurrent(layer, draw)
            continue
        weight = torch.empty_like(layer.weight)
        draw(weight)
        if is_parametrized(layer, "weight"):
            put(layer, "weight", weight)
        else:
            layer.weight.data.copy_(weight)
        if layer.bias is not None:
            layer.bias.data.zero_()
    if settings.method == "data_dependent":
        plain = [each for each in found if isinstance(each, _PLAIN) and not is_parametrized(each)]
        at_first(module, plain, _scaled, sample)
    return module


def _scaled(layer: Any, _: Tensor, y: Tensor) -> Tensor | None:
    """Divides a layer's weights so that its first outputs deviate by 1."""
    deviation = y.std(correction=0)
    if not deviation > _LEAST:
        return None
    layer.weight.data.div_(deviation)
    return y / deviation


def _draw_recurrent(layer: nn.RNNBase, draw: Callable[[Tensor], Any]) -> None:
    for name, weight in layer.named_parameters(recurse=False):
        if weight.dim() == 1:
            weight.data.zero_()
            continue
        for gate in torch.split(weight.data, layer.hidden_size):
            (_DRAWN["orthogonal"] if "_hh_" in name else draw)(gate)


def _drawn_anew(module: nn.Module) -> list[Any]:
    held = {name.rpartition(".")[0] for name in frozen(module)}
    layers = [
        (name, each)
        for name, each in module.named_modules()
        if isinstance(each, _LAYERS) and name not in held and settable(each)
    ]
    return [each for _, each in layers[:-1]]


def _fits(facts: Facts) -> str | None:
    if facts.pretrained:
        return (
            "the model's weights are the same for every seed: they were learned, and would be lost"
        )
    if not _drawn_anew(facts.module):
        return "the model has no two linear, convolutional or recurrent layers"
    return None


TECHNIQUE = ModelTechnique(
    name="initialization",
    summary="Draw first weights as He, Xavier or orthogonal ones, or by what layers say of some rows.",
    reference="He et al., Delving Deep into Rectifiers, 2015; Glorot and Bengio, Understanding the "
    "Difficulty of Training Deep Feedforward Neural Networks, 2010; Saxe, McClelland and Ganguli, "
    "Exact Solutions to the Nonlinear Dynamics of Learning, 2014; Mishkin and Matas, All You Need is a "
    "Good Init, ICLR 2016 (by data; here in one pass)",
    apply=initialization,
    phase=Phase.START,
    settings=InitializationSettings,
    fits=_fits,
)
