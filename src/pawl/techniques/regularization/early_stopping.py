"""Early stopping."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor

from pawl.techniques.record import Settings
from pawl.techniques.stages import StopTechnique


class EarlyStoppingSettings(Settings):
    """Settings of `early_stopping`."""

    patience: int = Field(
        12,
        ge=3,
        le=50,
        description="evaluations without a new best",
        json_schema_extra={"searched": False},
    )


def early_stopping(stale: Tensor, evaluations: Tensor, settings: Any) -> Tensor:
    """Stops a member whose validation score has had no new best for `patience` evaluations.

    Args:
        stale: Evaluations since the best one, `[N]`.
        evaluations: Evaluations so far, `[N]`.
        settings: `patience` `[N]`.

    Returns:
        `[N]` bool. The weights of the best evaluation are kept either way.
    """
    patience: Tensor = settings.patience
    return stale >= patience


TECHNIQUE = StopTechnique(
    name="early_stopping",
    summary="Stop when the validation score no longer improves.",
    reference="Prechelt, Early Stopping - But When?, 1998",
    apply=early_stopping,
    settings=EarlyStoppingSettings,
    memberwise=frozenset({"patience"}),
)
