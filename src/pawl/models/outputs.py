"""From what a model returns to what the loss takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pawl.errors import TrialError
from pawl.kinds import Kind

_NAMES = ("logits", "prediction", "predictions", "output", "outputs", "out")
"""What the one that predicts may be called, where a model returns several by name."""


def predicting(raw: Any) -> Tensor:
    """Returns which of a model's outputs predicts: the only one, or the first.

    Of a dict it is the one called `logits`, `prediction` or `output`, if there is one. A loss of the
    user's gets all of them.

    Raises:
        TrialError: That is no tensor.
    """
    chosen = raw
    if isinstance(raw, Mapping) and raw:
        name = next((name for name in _NAMES if name in raw), next(iter(raw)))
        chosen = raw[name]
    elif isinstance(raw, tuple | list) and raw:
        chosen = raw[0]
    if isinstance(chosen, Tensor):
        return chosen
    got = type(raw).__name__
    if isinstance(raw, Mapping | tuple | list):
        got += f" whose {type(chosen).__name__ if raw else 'nothing'} would predict"
    raise TrialError(
        f"the model returned {got}; it must return a tensor, or a tuple or dict whose first is the one "
        f"that predicts (of a dict, the one called {_NAMES[0]}, if there is one)"
    )


def outputs(raw: Any, kind: Kind, count: int) -> Tensor:
    """Returns a model's raw outputs as the kind's loss takes them.

    Args:
        raw: What the model returned for a batch.
        kind: What is predicted.
        count: Outputs of the model's last layer, as it should have.

    Raises:
        TrialError: No tensor predicts, or one of another shape.
    """
    chosen = predicting(raw)
    found = kind.outputs(chosen, count)
    if found is None:
        raise TrialError(
            f"the model returned shape {list(chosen.shape)}; for {kind.name} it must be "
            f"{kind.shapes.format(outputs=count)}"
        )
    return found
