"""Made-up targets and outputs of each kind of prediction."""

from __future__ import annotations

import torch
from torch import Tensor

from pawl.kinds import NOTHING, Kind, KindName

ROWS = 24
LENGTH, SIDES = 5, (4, 6)
COUNTS: dict[KindName, int] = {
    "binary": 2, "multiclass": 4, "multilabel": 3, "sequence": 4, "dense": 3,
    "regression": 1, "multitarget": 3, "dense_regression": 1,
}  # fmt: skip
PLACES: dict[KindName, tuple[int, ...]] = {
    "sequence": (LENGTH,), "dense": SIDES, "dense_regression": SIDES
}  # fmt: skip


def targets_of(kind: Kind, rows: int = ROWS, seed: int = 1) -> Tensor:
    """Targets of made-up rows."""
    generator = torch.Generator().manual_seed(seed)
    count = COUNTS[kind.name]
    if kind.has_places and kind.has_classes:
        found = torch.randint(count, (rows, *PLACES[kind.name]), generator=generator)
        found[::3, -1] = NOTHING
        return found
    if not kind.has_classes:
        shape = (rows, count) if kind.target_axes else (rows,)
        if kind.has_places:
            shape = (rows, *PLACES[kind.name])
        return 5 + 3 * torch.randn(shape, generator=generator)
    if kind.target_axes:
        return torch.randint(2, (rows, count), generator=generator).float()
    return torch.arange(rows) % count


def raw_of(kind: Kind, seed: int = 0, rows: int = ROWS) -> Tensor:
    """What a model might return."""
    generator, count = torch.Generator().manual_seed(seed), COUNTS[kind.name]
    shape: tuple[int, ...] = (rows, count)
    if kind.name == "sequence":
        shape = (rows, LENGTH, count)
    elif kind.has_places:
        shape = (rows, count, *SIDES)
    return torch.randn(shape, generator=generator)
