"""Rows that are no independent draws: they come in groups, or in order of time.

Shape legend: `R` rows, `G` groups, `S` strata.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.errors import DataError

_Integers = NDArray[np.int64]

_UNITS_OF_TIME = 50
_DRAWS, _DRAWN_GROUPS = 16, 20_000
"""Splits that are drawn for the one that is nearest to what is wanted: fewer of many groups."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Which rows belong together.

    Attributes:
        by: `group`: rows of a group are held out together. `time`: what is held out comes later than
            what trains.
        column: What says so.
        keys: Each row's group, or the place of its time among all times, `[R]` int64.
        gap: How many times before what is held out train nothing: their targets were not known yet when
            it had to be predicted.
    """

    by: Literal["group", "time"]
    column: str
    keys: Tensor
    gap: int = 0

    def take(self, rows: Tensor) -> Blocks:
        """Returns those of some rows."""
        return replace(self, keys=self.keys[rows.cpu()])

    @property
    def units(self) -> Tensor:
        """What varies on its own, each row's by number, `[R]`: groups, or 50 stretches of time."""
        if self.by == "group":
            return _codes(self.keys)
        earlier = torch.searchsorted(self.keys.sort().values, self.keys)
        return _codes(earlier * _UNITS_OF_TIME // max(1, len(self.keys)))

    def others(self, held_out: Tensor) -> Tensor:
        """Returns the rows that may train a model which these are to judge, sorted."""
        keys = self.keys[held_out]
        if self.by == "time":
            return (self.keys < keys.min() - self.gap).nonzero().flatten()
        return (~torch.isin(self.keys, keys)).nonzero().flatten()

    def apart(self, rest: Tensor, share: Tensor) -> Tensor:
        """Returns which of the rows that a share was taken from may train what the share judges.

        Raises:
            DataError: The gap before the share leaves none.
        """
        if not self.gap:
            return rest
        known = rest[self.keys[rest] < self.keys[share].min() - self.gap]
        if not len(known):
            raise DataError(
                f"no rows are left to train on before a gap of {self.gap} times in {self.column!r}; add "
                "rows or predict fewer steps ahead"
            )
        return known

    def split(self, strata: _Integers, share: float, seed: int, rows: Tensor) -> Tensor:
        """Returns which of the rows are the share, `[R']` bool: whole groups, or the latest times.

        Args:
            strata: Which rows are alike, `[R']`; each gives about such a share of its groups.
            share: The share's part, in (0, 1).
            seed: Which groups.
            rows: `[R']`.

        Raises:
            DataError: There are fewer than two groups, or times.
        """
        keys = self.keys[rows].numpy()
        if len(np.unique(keys)) < 2:
            raise DataError(
                f"got rows of one {self.by} in {self.column!r} to split; at least 2 are needed"
            )
        if self.by == "time":
            return torch.from_numpy(keys >= _boundaries(keys, [1.0 - share], inner=True)[0])
        return torch.from_numpy(_dealt(keys, strata, share, seed) == 1)

    def folds(self, strata: _Integers, count: int, seed: int, rows: Tensor) -> list[Tensor]:
        """Returns folds of the rows: whole groups, or stretches of time, the earliest first.

        Stretches begin a bit later or earlier with each seed, by at most half of one; rows at the ends
        that are in none are left out.
        """
        keys = self.keys[rows].numpy()
        if self.by == "group":
            dealt = _dealt(keys, strata, count, seed)
            masks = [dealt == fold for fold in range(count)]
        else:
            spare = 0.5 / (count + 0.5)
            first = spare * float(np.random.default_rng(seed).random())
            width = (1.0 - spare) / count
            cuts = _boundaries(keys, [first + width * fold for fold in range(count + 1)])
            masks = [(keys >= low) & (keys < high) for low, high in pairwise(cuts)]
        return [rows[torch.from_numpy(mask)].sort().values for mask in masks if mask.any()]


def _codes(keys: Tensor) -> Tensor:
    found: Tensor = torch.unique(keys, return_inverse=True)[1]
    return found


def _boundaries(keys: _Integers, places: list[float], *, inner: bool = False) -> list[int]:
    """Returns the times at which rows are cut, nearest to these shares of the rows; equal times stay.

    With `inner` there are rows on both sides of each.
    """
    distinct, counts = np.unique(keys, return_counts=True)
    before = np.concatenate([[0], np.cumsum(counts)]) / len(keys)
    times = np.append(distinct, distinct[-1] + 1)
    if inner:
        before, times = before[1:-1], times[1:-1]
    return [int(times[np.abs(before - place).argmin()]) for place in places]


def _dealt(keys: _Integers, strata: _Integers, parts: float, seed: int) -> _Integers:
    """Deals whole groups; returns each row's part, `[R']`.

    Groups of one stratum (the most frequent of their rows) follow each other by size, and are dealt in
    turns. Of some draws the one counts whose parts are nearest to what is wanted, by stratum.

    Args:
        keys: Each row's group.
        strata: Each row's stratum.
        parts: Below 1, the share of part 1, the rest being part 0; else the number of equal parts.
        seed: Of the draws.
    """
    _, groups = np.unique(keys, return_inverse=True)
    count, width = int(groups.max()) + 1, int(strata.max()) + 1
    table = np.zeros((count, width), dtype=np.int64)
    np.add.at(table, (groups, strata), 1)
    main, sizes = table.argmax(1), table.sum(1)
    random = np.random.default_rng(seed)
    best: tuple[float, _Integers] | None = None
    for _ in range(max(1, min(_DRAWS, _DRAWN_GROUPS // count))):
        shuffled = random.permutation(count)
        order = shuffled[np.lexsort((sizes[shuffled], main[shuffled]))]
        part = np.empty(count, dtype=np.int64)
        part[order] = _turns(count, parts, random)
        number = 2 if parts < 1 else int(parts)
        wanted = np.array([1 - parts, parts]) if parts < 1 else np.full(number, 1 / number)
        held = np.zeros((number, width))
        np.add.at(held, part, table)
        loss = float(((held - np.outer(wanted, table.sum(0))) ** 2).sum())
        if best is None or loss < best[0]:
            best = loss, part
    assert best is not None
    return best[1][groups]


def _turns(count: int, parts: float, random: np.random.Generator) -> _Integers:
    """Returns the parts of groups in a row: a systematic sample, or folds to and fro."""
    if parts < 1:
        taken = min(max(1, round(parts * count)), count - 1)
        places = ((np.arange(taken) + random.random()) * count / taken).astype(np.int64)
        return np.isin(np.arange(count), places).astype(np.int64)
    folds = int(parts)
    turn, place = np.divmod(np.arange(count), folds)
    labels = random.permutation(folds)
    dealt: _Integers = labels[np.where(turn % 2, folds - 1 - place, place)]
    return dealt
