"""Stratified splits and folds whose sizes do not depend on the seed, so that they can train fused."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.data.blocks import Blocks
from pawl.errors import DataError
from pawl.kinds import KINDS, KindName

_Integers = NDArray[np.int64]


def split_rows(
    targets: Tensor,
    kind: KindName,
    share: float,
    seed: int,
    *,
    rows: Tensor | None = None,
    blocks: Blocks | None = None,
) -> tuple[Tensor, Tensor]:
    """Splits rows at random into a rest and a share, stratified by the targets (`Kind.strata`).

    Classes keep their proportions, values their quantiles. How many rows each stratum gives is the same
    for every seed. Every class with at least two rows has one in the rest, and one in the share where
    the share has room for all of them.

    Args:
        targets: `[R, *S]`.
        kind: What is predicted.
        share: The share's part of the rows, in (0, 1).
        seed: Which rows; the same seed gives the same split.
        rows: `[R']` int64 indices to split, each once; all rows by default.
        blocks: Of all rows, if they come in groups, which then are in one part each, or in order of
            time: the share is the latest then, and rows in a gap before it are in neither part.

    Returns:
        `(rest, share)`: int64 indices into `targets`, sorted, disjoint, together all of `rows`. The
        share has `round(share * R')` rows, but each part at least one; with blocks about so many.

    Raises:
        DataError: With fewer than two rows, a share outside (0, 1), or a share so large that the
            rest cannot hold a row of each class.
    """
    if not 0 < share < 1:
        raise DataError(f"got a share of {share}; allowed is a number between 0 and 1, such as 0.2")
    index = torch.arange(len(targets)) if rows is None else rows.detach().cpu().to(torch.int64)
    num_rows = len(index)
    if num_rows < 2:
        raise DataError(f"got {num_rows} row(s) to split; at least 2 are needed; add rows")
    size = min(max(round(share * num_rows), 1), num_rows - 1)
    strata = KINDS[kind].strata(targets.detach().cpu()[index], size)
    if blocks is not None:
        mask = blocks.split(strata, share, seed, index)
        rest, held = index[~mask].sort().values, index[mask].sort().values
        return blocks.apart(rest, held), held
    wanted = _allocate(np.bincount(strata), size)

    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(num_rows, generator=generator).numpy()
    by_stratum = shuffled[np.argsort(strata[shuffled], kind="stable")]
    counts = np.bincount(strata)
    place = np.arange(num_rows) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = np.zeros(num_rows, dtype=bool)
    chosen[by_stratum] = place < np.repeat(wanted, counts)
    mask = torch.from_numpy(chosen)
    return index[~mask].sort().values, index[mask].sort().values


def fold_rows(
    targets: Tensor,
    kind: KindName,
    folds: int,
    seed: int,
    *,
    rows: Tensor,
    blocks: Blocks | None = None,
) -> list[Tensor]:
    """Deals rows into folds of equal size, stratified as in `split_rows`.

    Left out are the rows of a remainder, at random, and every class that has a single row in all: it
    should teach, not examine.

    Args:
        targets: `[R, *S]`.
        kind: What is predicted.
        folds: How many, at least 1; fewer where there are fewer rows.
        seed: Which rows; the same seed gives the same folds.
        rows: `[R']` int64 indices to deal, each once.
        blocks: Of all rows, as in `split_rows`; folds are of about equal size then, and those of time
            follow each other.

    Returns:
        int64 indices into `targets`, sorted, disjoint.

    Raises:
        DataError: None of the rows can be dealt.
    """
    values = targets.detach().cpu()
    index = rows.detach().cpu().to(torch.int64)
    index = index[KINDS[kind].may_be_held_out(values)[index]]
    size = len(index) // folds
    if size == 0:
        if len(index) == 0:
            raise DataError("no class has a second row to judge on; add rows")
        folds, size = len(index), 1
    if blocks is not None:
        return blocks.folds(KINDS[kind].strata(values[index], size), folds, seed, index)
    generator = torch.Generator().manual_seed(seed)
    index = index[torch.randperm(len(index), generator=generator)[: folds * size]]
    strata = KINDS[kind].strata(values[index], size)
    dealt = index[torch.from_numpy(np.argsort(strata, kind="stable"))]
    return [dealt[fold::folds].sort().values for fold in range(folds)]


def _allocate(counts: _Integers, size: int) -> _Integers:
    """How many rows each stratum gives to a share of `size`: nearest to its part, sum exact."""
    most = np.where(counts > 1, counts - 1, counts)
    if most.sum() < size:
        raise DataError(
            f"got a share of {size} of {counts.sum()} rows with {len(counts)} classes, which "
            f"leaves too few for one of each class; at most {most.sum()} are allowed; take less"
        )
    repeated = counts > 1
    least = repeated.astype(np.int64) if repeated.sum() <= size else np.zeros_like(counts)
    exact = counts * (size / counts.sum())
    # A class with a single row should teach, not examine: it comes last.
    exact = np.where(repeated, exact, exact - 1)
    wanted: _Integers = np.clip(np.floor(exact).astype(np.int64), least, most)
    while wanted.sum() != size:
        lacking = wanted.sum() < size
        gap = (
            np.where(wanted < most, exact - wanted, -np.inf)
            if lacking
            else np.where(wanted > least, wanted - exact, -np.inf)
        )
        wanted[np.argmax(gap)] += 1 if lacking else -1
    return wanted
