"""Attention in place of recurrent layers."""

from __future__ import annotations

from torch import nn

from pawl.data.types import Inputs
from pawl.models.attending import AttendingRows
from pawl.models.operations import traced
from pawl.models.surgery import replace
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique

_MOST_STEPS = 1024


def recurrent_attention(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Puts an encoder of attention where a recurrent layer is; as many layers and units.

    It takes all steps at once, where a recurrent layer takes one after the other, and returns outputs
    and last states of the same shapes. A layer of one direction looks back alone.
    """
    names = set(_replaceable(module, sample)[0])

    def make(name: str, old: nn.Module) -> nn.Module | None:
        if name not in names:
            return None
        assert isinstance(old, nn.RNNBase)
        return AttendingRows(old)

    replace(module, make)
    return module


def _replaceable(module: nn.Module, sample: Inputs) -> tuple[list[str], str]:
    """Returns the names of recurrent layers that attention can stand in for, or why none of them."""
    reason = "the model has no recurrent layer of PyTorch's"
    if not any(isinstance(each, nn.RNNBase) for each in module.modules()):
        return [], reason
    trace, _ = traced(module, lambda m: m(sample))
    found: dict[str, None] = {}
    refused: set[str] = set()
    for op in trace.operations:
        if not isinstance(op.layer, nn.RNNBase):
            continue
        name = op.address.partition("#")[0]
        why = _refused(op.layer, [trace.shapes[number] for number in op.inputs])
        if why:
            reason = f"{name!r} {why}"
            refused.add(name)
        found[name] = None
    return [name for name in found if name not in refused], reason


def _refused(layer: nn.RNNBase, given: list[tuple[int, ...]]) -> str:
    if len(given) != 1 or len(given[0]) != 3:
        return "is given a state, packed rows, or a single row"
    if layer.proj_size:
        return "projects its state"
    steps = given[0][1 if layer.batch_first else 0]
    return f"sees {steps:,} steps, more than {_MOST_STEPS:,}" if steps > _MOST_STEPS else ""


def _fits(facts: Facts) -> str | None:
    names, reason = _replaceable(facts.module, facts.sample)
    if not names:
        return reason
    if facts.pretrained:
        return "the model's recurrent layers were learned, and would be lost"
    return None


TECHNIQUE = ModelTechnique(
    name="recurrent_attention",
    summary="Let attention take the place of recurrent layers.",
    reference="Vaswani et al., Attention Is All You Need, 2017; normalized before, as Xiong et al., On "
    "Layer Normalization in the Transformer Architecture, 2020",
    apply=recurrent_attention,
    phase=Phase.BLOCKS,
    fits=_fits,
)
