"""How weights start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

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
}


class InitializationSettings(Settings):
    """Settings of `initialization`."""

    method: Literal["he", "xavier", "orthogonal"] = Field(
        "he", description="what weights are drawn from"
    )


def initialization(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Draws the weights of linear and convolutional layers anew but the last one's; biases get 0.

    The last layer keeps what it had: outputs that start large cost the first steps.
    """
    found = _drawn_anew(module)
    for layer in found:
        _DRAWN[settings.method](layer.weight.data)
        if layer.bias is not None:
            layer.bias.data.zero_()
    return module


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
    summary="Draw first weights as He, Xavier or orthogonal ones.",
    reference="He et al., Delving Deep into Rectifiers, 2015; Glorot and Bengio, Understanding the "
    "Difficulty of Training Deep Feedforward Neural Networks, 2010; Saxe, McClelland and Ganguli, "
    "Exact Solutions to the Nonlinear Dynamics of Learning, 2014",
    apply=initialization,
    phase=Phase.START,
    settings=InitializationSettings,
    fits=_fits,
)
