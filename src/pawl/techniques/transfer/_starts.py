"""What techniques for models that come with weights share."""

from __future__ import annotations

from torch import nn

from pawl.data.types import Inputs
from pawl.models import head_of, layers_in_order, order_of
from pawl.techniques.record import Facts

_FEW_ROWS = 4


def needs_weights(facts: Facts) -> str | None:
    """Refuses models that start from random weights."""
    if not facts.pretrained:
        return "the model starts from random weights, which have to be learned"
    return None


def needs_body(facts: Facts) -> str | None:
    """Refuses those as well that have no layer in front of the last."""
    reason = needs_weights(facts)
    if reason is None and len(ordered(facts.module, facts.sample)) < 2:
        return "the model has no layer but the last that trains"
    return reason


def ordered(module: nn.Module, sample: Inputs) -> tuple[str, ...]:
    """Returns the names of a module's layers with weights that train, in the order in which they run."""
    order = order_of(module) or layers_in_order(
        module, lambda m: m({name: x[:_FEW_ROWS] for name, x in sample.items()})
    )
    names = dict(module.named_modules())
    return tuple(
        name
        for name in order
        if name in names and next(names[name].parameters(recurse=False), None) is not None
    )


def head(module: nn.Module, sample: Inputs) -> str:
    """Returns the name of the layer that makes the outputs; the last one if none is known to."""
    order = ordered(module, sample)
    return head_of(module, order) or order[-1]
