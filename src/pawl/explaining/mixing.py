"""Rows that are partly one row and partly others, as explanations ask a model about.

Shape legend: `S` mixed rows, `F` columns, `M` background rows, `O` outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.data.types import Inputs
from pawl.explaining.subject import Feature, Subject, Values, taken

_NUMBERS, _ROWS = 2**22, 2**13
"""How many numbers, and rows, are made at once: what comes next should still lie in the cache."""


class Mixer:
    """Puts a row's values of some columns into background rows.

    Args:
        features: The columns.
        row: One row.
        background: `M` rows.
    """

    def __init__(self, features: Sequence[Feature], row: Inputs, background: Inputs) -> None:
        self.features, self.row, self.background = features, row, background
        self._places: dict[str, Tensor] = {}
        self._whole: dict[str, int] = {}
        for number, feature in enumerate(features):
            if not feature.at:
                self._whole[feature.input] = number
                continue
            width = row[feature.input].shape[-1]
            places = self._places.setdefault(feature.input, torch.full((width,), len(features)))
            places[list(feature.at)] = number
        self._width = sum(tensor[0].numel() for tensor in row.values())

    def apart(self) -> NDArray[np.bool_]:
        """Returns where the row differs from background rows, `[M, F]`; a gap is as any other gap."""
        found = []
        for feature in self.features:
            own, other = self.row[feature.input], self.background[feature.input]
            if feature.at:
                own, other = own[..., list(feature.at)], other[..., list(feature.at)]
            same = (own == other) | (own.isnan() & other.isnan())
            found.append(~same.flatten(1).all(1).numpy())
        return np.stack(found, 1)

    def rows(self, turns: NDArray[np.int64], masks: NDArray[np.bool_]) -> Inputs:
        """Returns background rows `turns` `[S]` with the row's values where masks `[S, F]` say so."""
        chosen = torch.from_numpy(np.pad(masks, ((0, 0), (0, 1))))  # the last one: of no column
        mixed = taken(self.background, turns)
        for name, places in self._places.items():
            own = self.row[name]
            where = chosen[:, places].view(len(turns), *[1] * (own.dim() - 2), -1)
            mixed[name] = torch.where(where, own, mixed[name])
        for name, number in self._whole.items():
            own = self.row[name]
            where = chosen[:, number].view(-1, *[1] * (own.dim() - 1))
            mixed[name] = torch.where(where, own, mixed[name])
        return mixed

    def values(
        self, subject: Subject, turns: NDArray[np.int64], masks: NDArray[np.bool_]
    ) -> Values:
        """Returns predictions of such rows, `[S, O]`, a part of them at a time."""
        step = max(1, min(_ROWS, _NUMBERS // max(1, self._width)))
        parts = [
            subject.values(self.rows(turns[at : at + step], masks[at : at + step]))
            for at in range(0, len(turns), step)
        ]
        return np.concatenate(parts)
