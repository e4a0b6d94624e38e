"""Rows that are partly one row and partly others, as explanations ask a model about.

Shape legend: `S` mixed rows, `F` columns, `R` rows, `M` background rows, `O` outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.data.types import Inputs
from pawl.explaining.subject import Feature, Subject, Values, count_of, taken

_NUMBERS, _ROWS = 2**22, 2**13
"""How many numbers, and rows, are made at once: what comes next should still lie in the cache."""


class Mixer:
    """Puts rows' values of some columns into background rows.

    Row `r` and background row `m` are a game, number `r M + m`.

    Args:
        features: The columns.
        rows: `R` rows.
        background: `M` rows.
    """

    def __init__(self, features: Sequence[Feature], rows: Inputs, background: Inputs) -> None:
        self.features, self.own, self.background = features, rows, background
        self._places: dict[str, Tensor] = {}
        self._whole: dict[str, int] = {}
        for number, feature in enumerate(features):
            if not feature.at:
                self._whole[feature.input] = number
                continue
            width = rows[feature.input].shape[-1]
            places = self._places.setdefault(feature.input, torch.full((width,), len(features)))
            places[list(feature.at)] = number
        self._width = sum(tensor[0].numel() for tensor in rows.values())

    def apart(self) -> NDArray[np.bool_]:
        """Returns where rows differ from background rows, `[R, M, F]`; a gap is as any other gap."""
        found = []
        for feature in self.features:
            own, other = self.own[feature.input], self.background[feature.input]
            if feature.at:
                own, other = own[..., list(feature.at)], other[..., list(feature.at)]
            own = own[:, None]
            same = (own == other) | (own.isnan() & other.isnan())
            found.append(~same.flatten(2).all(2).numpy())
        return np.stack(found, 2)

    def rows(self, games: NDArray[np.int64], masks: NDArray[np.bool_]) -> Inputs:
        """Returns background rows of games `[S]`, with the row's values where masks `[S, F]` say so."""
        chosen = torch.from_numpy(np.pad(masks, ((0, 0), (0, 1))))  # the last one: of no column
        who, turns = np.divmod(games, count_of(self.background))
        mixed = taken(self.background, turns)
        own = self.own if count_of(self.own) == 1 else taken(self.own, who)
        for name, places in self._places.items():
            where = chosen[:, places].view(len(turns), *[1] * (own[name].dim() - 2), -1)
            mixed[name] = torch.where(where, own[name], mixed[name])
        for name, number in self._whole.items():
            where = chosen[:, number].view(-1, *[1] * (own[name].dim() - 1))
            mixed[name] = torch.where(where, own[name], mixed[name])
        return mixed

    def values(
        self, subject: Subject, games: NDArray[np.int64], masks: NDArray[np.bool_]
    ) -> Values:
        """Returns predictions of such rows, `[S, O]`, a part of them at a time."""
        step = max(1, min(_ROWS, _NUMBERS // max(1, self._width)))
        parts = [
            subject.values(self.rows(games[at : at + step], masks[at : at + step]))
            for at in range(0, len(games), step)
        ]
        return np.concatenate(parts)
