"""What techniques for the network of tables share."""

from __future__ import annotations

from pawl.models import TabularNet
from pawl.techniques.record import Facts


def needs_table_net(facts: Facts) -> str | None:
    """Says that the model is not the network that pawl builds for tables."""
    if facts.own_model or not isinstance(facts.module, TabularNet):
        return "it needs the network that pawl builds for tables"
    return None
