"""Nearest neighbors, by distance."""

from __future__ import annotations

from typing import Any

import torch

from pawl.data.types import ModelSpec
from pawl.models import Encoder, Learned, Neighbors
from pawl.techniques.learning import as_numbers, encoded, fits_tables, probable
from pawl.techniques.record import Facts, Settings, number
from pawl.techniques.stages import Beat, FitTechnique
from pawl.techniques.values import FitRows

_MOST_ROWS = 20_000


class NeighborsSettings(Settings):
    """Settings of `nearest_neighbors`."""

    count: int = number(10, 1, 100, "neighbors that are looked at")


def module(spec: ModelSpec, settings: Any) -> Learned:
    """Returns a module that remembers no rows yet."""
    encoder = Encoder(spec.inputs, one_hot=True)
    return Learned(encoder, Neighbors(spec.num_outputs, settings.count), probable(spec))


def fit(learned: Learned, rows: FitRows, settings: Any, seed: int, beat: Beat) -> None:
    """Remembers the rows; what they weigh is not taken into account."""
    del settings, seed, beat
    core = learned.core
    assert isinstance(core, Neighbors)
    core.keys = torch.from_numpy(encoded(learned, rows)[0])
    values = as_numbers(rows, core.values.shape[1])
    core.values = torch.from_numpy(values).float()


def fits(facts: Facts) -> str | None:
    """Refuses many rows: each prediction looks at all of them."""
    if facts.num_rows > _MOST_ROWS:
        return f"each prediction looks at all rows; it takes at most {_MOST_ROWS:,}"
    return fits_tables(facts)


TECHNIQUE = FitTechnique(
    name="nearest_neighbors",
    summary="The mean of the nearest training rows, near ones counting more.",
    reference="Cover and Hart, Nearest Neighbor Pattern Classification, 1967; Dudani, The "
    "Distance-Weighted k-Nearest-Neighbor Rule, 1976",
    apply=fit,  # type: ignore[arg-type]
    module=module,
    settings=NeighborsSettings,
    fits=fits,
)
