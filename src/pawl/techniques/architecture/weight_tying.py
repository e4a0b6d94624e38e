"""One table of words for input and output."""

from __future__ import annotations

from torch import nn

from pawl.data.types import Inputs
from pawl.models.operations import traced
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import ModelTechnique


def weight_tying(module: nn.Module, settings: Settings, sample: Inputs) -> nn.Module:
    """Makes the weights of the linear layer behind the last the embedding's, where shapes agree.

    The table starts as the linear layer did: an embedding's first numbers would make outputs large.
    """
    embedding, linear = (module.get_submodule(name) for name in _pair(module, sample))
    assert isinstance(embedding, nn.Embedding)
    assert isinstance(linear, nn.Linear)
    embedding.weight.data.copy_(linear.weight.data)
    if embedding.padding_idx is not None:
        embedding.weight.data[embedding.padding_idx].zero_()
    linear.weight = embedding.weight
    return module


def _pair(module: nn.Module, sample: Inputs) -> tuple[str, ...]:
    """Returns the names of an embedding and of the last linear layer, if their weights could be one."""
    trace, _ = traced(module, lambda m: m(sample))
    linear = [op for op in trace.operations if type(op.layer) is nn.Linear][-1:]
    for op in trace.operations:
        for last in linear:
            one, other = op.layer, last.layer
            if not isinstance(one, nn.Embedding) or not isinstance(other, nn.Linear):
                continue
            trained = isinstance(one.weight, nn.Parameter) and isinstance(
                other.weight, nn.Parameter
            )
            if (
                trained
                and one.weight is not other.weight
                and one.weight.shape == other.weight.shape
            ):
                return tuple(each.address.partition("#")[0] for each in (op, last))
    return ()


def _fits(facts: Facts) -> str | None:
    if not _pair(facts.module, facts.sample):
        return "the model has no embedding whose weights have the shape of its last linear layer's"
    if facts.pretrained:
        return (
            "the model's weights are the same for every seed: they were learned, and would be lost"
        )
    return None


TECHNIQUE = ModelTechnique(
    name="weight_tying",
    summary="Use the embedding's weights for the last layer, too.",
    reference="Press and Wolf, Using the Output Embedding to Improve Language Models, EACL 2017",
    apply=weight_tying,
    phase=Phase.COPIES,
    conflicts=frozenset({"width"}),  # which gives the last layer other inputs
    fits=_fits,
)
