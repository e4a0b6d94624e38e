"""How maps are pooled."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from pawl.data.types import Inputs
from pawl.models import BlurPool2d
from pawl.models.operations import traced
from pawl.models.surgery import replace
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


class PoolingSettings(Settings):
    """Settings of `pooling`."""

    kind: Literal["max", "average", "blur"] = Field("blur", description="what is pooled")


def pooling(module: nn.Module, settings: Any, sample: Inputs) -> nn.Module:
    """Pools maps by their maximum, their mean, or their maximum blurred; shapes stay."""
    names = set(_pools(module, sample))

    def make(name: str, old: nn.Module) -> nn.Module | None:
        return _made(settings.kind, old) if name in names else None

    replace(module, make)
    return module


def _made(kind: str, old: Any) -> nn.Module | None:
    kernel, stride, padding = (_one(x) for x in (old.kernel_size, old.stride, old.padding))
    if kind == "max":
        return nn.MaxPool2d(kernel, stride, padding, ceil_mode=old.ceil_mode)
    if kind == "average":
        return nn.AvgPool2d(kernel, stride, padding, old.ceil_mode, count_include_pad=False)
    return BlurPool2d(kernel, stride, padding, ceil=old.ceil_mode)


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value


def _pools(module: nn.Module, sample: Inputs) -> list[str]:
    """Returns the names of pooling layers whose result is still a map."""
    trace, _ = traced(module, lambda m: m(sample))
    found = []
    for op in trace.operations:
        layer: Any = op.layer
        if not isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
            continue
        alike = all(
            not isinstance(x, tuple) or len(set(x)) == 1
            for x in (layer.kernel_size, layer.stride, layer.padding)
        )
        plain = getattr(layer, "dilation", 1) in (1, (1, 1)) and len(op.outputs) == 1
        shape = trace.shapes[op.outputs[0]]
        if alike and plain and _one(layer.stride) > 1 and shape[-1] * shape[-2] > 1:
            found.append(op.address.partition("#")[0])
    return found


def _fits(facts: Facts) -> str | None:
    if _pools(facts.module, facts.sample):
        return None
    return (
        "the model has no max or average pooling of PyTorch's, of strides alike, that leaves a map"
    )


TECHNIQUE = ModelTechnique(
    name="pooling",
    summary="Pool maps by their maximum, their mean, or their maximum blurred.",
    reference="Zhang, Making Convolutional Networks Shift-Invariant Again, ICML 2019 (blur)",
    apply=pooling,
    phase=Phase.COPIES,
    settings=PoolingSettings,
    fits=_fits,
)
