"""How weights start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pawl.data.types import Inputs
from pawl.models import frozen
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
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
    """Draws the weights of linear and convolutional layers anew but the last one's; biases get 0.

    The last layer keeps what it had: outputs that start large cost the first steps. Data-dependent
    weights are orthogonal ones, divided by the deviation of what their layer says of some rows.
    """
    found = _drawn_anew(module)
    for layer in found:
        _DRAWN[settings.method](layer.weight.data)
        if layer.bias is not None:
            layer.bias.data.zero_()
    if settings.method == "data_dependent":
        _scaled_by(module, found, sample)
    return module


def _scaled_by(module: nn.Module, layers: list[Any], sample: Inputs) -> None:
    """Divides each layer's weights so that its first outputs of the sample deviate by 1.

    In one forward: behind a layer everything sees what it says with the weights that it then has.
    """
    waiting = {id(layer) for layer in layers}

    def scaled(layer: Any, _: object, y: Tensor) -> Tensor | None:
        deviation = y.std(correction=0)
        if id(layer) not in waiting or not deviation > _LEAST:
            return None
        waiting.discard(id(layer))
        layer.weight.data.div_(deviation)
        return y / deviation

    hooks = [layer.register_forward_hook(scaled) for layer in layers]
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            module(sample)
    finally:
        for hook in hooks:
            hook.remove()
        module.train(was_training)


def _drawn_anew(module: nn.Module) -> list[Any]:
    kept = set(frozen(module))
    layers = [
        (name, each)
        for name, each in module.named_modules()
        if isinstance(each, _LAYERS) and not {f"{name}.weight", f"{name}.bias"} & kept
    ]
    return [each for _, each in layers[:-1]]


def _fits(facts: Facts) -> str | None:
    if facts.pretrained:
        return (
            "the model's weights are the same for every seed: they were learned, and would be lost"
        )
    if not _drawn_anew(facts.module):
        return "the model has no two linear or convolutional layers"
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
