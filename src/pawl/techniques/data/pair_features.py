"""Products, sums, differences and ratios of columns, the most telling of all pairs.

Shape legend: `R` rows that are looked at, `F` columns, `O` numbers of a target, `K` candidates.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from pydantic import Field

from pawl.data.types import InputSpec
from pawl.kinds import KINDS
from pawl.models import Pairs
from pawl.models.added_inputs import PRODUCT, RATIO, SUM
from pawl.techniques.architecture._tables import needs_table_net
from pawl.techniques.data._targets import numbers_of
from pawl.techniques.record import Facts, Phase, Settings
from pawl.techniques.stages import DataTechnique
from pawl.techniques.values import Split

_NAME = "pairs"
_MOST_ROWS, _MOST_COLUMNS, _MOST_CANDIDATES = 1_500, 16, 100
_BINS, _RIDGE = 8, 1e-2
_ALIKE = 0.95
_NEAR = 1e-2
Numbers = NDArray[np.float64]


class PairFeaturesSettings(Settings):
    """Settings of `pair_features`."""

    count: Literal[4, 8, 16] = Field(8, description="features that are added")


@dataclass(frozen=True)
class Candidate:
    """What may be added; see `Pairs`."""

    first: int
    second: int
    way: int
    p: float = 0.0
    q: float = 0.0

    def of(self, x: Numbers) -> Numbers:
        """Returns its values, `[R]`."""
        a: Numbers = x[:, self.first]
        b: Numbers = x[:, self.second]
        if self.way == PRODUCT:
            found: Numbers = (a - self.p) * (b - self.q)
        elif self.way == SUM:
            found = a + self.p * b
        else:
            found = a / (np.where(b < 0, -1.0, 1.0) * np.maximum(np.abs(b), self.q))
        return found


def pair_features(split: Split, settings: Any) -> Split:
    """Adds the products, sums, differences and ratios of two columns that tell most of the target.

    What they tell beyond the columns themselves: from the target a sum of functions of single columns
    is taken off (linear, and linear splines of ranks, with a ridge), from each candidate and its 8 bins
    too, and those that explain the largest shares of what is left are taken, but for what ranks rows
    nearly as one that is better (correlation of ranks above 0.95). Of many rows 1,500 are looked at, of
    many columns those 16 that tell most by themselves, and of many candidates those 100 whose bins
    explain most as they are.
    """
    assert split.schema is not None
    spec = _source(split.schema.inputs)
    assert spec is not None
    rows = split.rows[
        np.linspace(0, len(split.rows) - 1, min(len(split.rows), _MOST_ROWS)).astype(int)
    ]
    with torch.no_grad():
        inputs = split.examples.take(rows).inputs
        inputs |= {name: x[rows].to(split.device) for name, x in split.known.items()}
        for layer in split.layers:
            inputs = layer(inputs)
    x = inputs[spec.name][:, : spec.shape[0]].cpu().double().numpy()
    targets = numbers_of(split)[rows].numpy()
    codes = [inputs[s.name].cpu().numpy() for s in split.schema.inputs if s.cardinalities]
    chosen = best(x, targets, settings.count, codes)
    first, second, way = (
        torch.tensor([getattr(c, key) for c in chosen], dtype=torch.int64)
        for key in ("first", "second", "way")
    )
    p, q = (torch.tensor([getattr(c, key) for c in chosen]) for key in ("p", "q"))
    layer = Pairs(_NAME, spec.name, first, second, way, p, q)
    more = InputSpec(name=_NAME, shape=(len(chosen),), dtype="float32")
    return split.with_input(more, layer)


def best(
    x: Numbers, targets: Numbers, count: int, codes: list[NDArray[np.int64]]
) -> list[Candidate]:
    """Returns so many candidates, best first, or all where there are fewer.

    Args:
        x: `[R, F]`.
        targets: `[R, O]`.
        count: How many.
        codes: Of categorical columns, `[R, C]` each, whose own part of the target is taken off too.
    """
    own = explained(x, targets - targets.mean(0))
    columns = np.sort(np.argsort(-own, kind="stable")[:_MOST_COLUMNS]).tolist()
    pool = candidates(x, columns)
    single = _Single(x, codes)
    residual = single.beyond(targets)
    values = np.stack([candidate.of(x) for candidate in pool], axis=1)
    kept = np.argsort(-explained(values, residual), kind="stable")[:_MOST_CANDIDATES]
    pool, values = [pool[each] for each in kept], values[:, kept]
    order = np.argsort(-_explained_beyond(values, residual, single), kind="stable")
    ranks = scipy.stats.rankdata(values, axis=0) if len(x) else values
    ranks = ranks - ranks.mean(0)
    ranks /= np.maximum(np.linalg.norm(ranks, axis=0), 1e-12)
    taken: list[int] = []
    for each in order:
        if len(taken) < count and all(abs(ranks[:, each] @ ranks[:, t]) <= _ALIKE for t in taken):
            taken.append(int(each))
    rest = [int(each) for each in order if int(each) not in taken]
    return [pool[each] for each in (taken + rest)[:count]]


def candidates(x: Numbers, columns: list[int]) -> list[Candidate]:
    """Returns all candidates of some columns of `x` `[R, F]`: five of each pair."""
    middle, spread = np.median(x, axis=0), x.std(axis=0)
    least = np.abs(x).min(axis=0) / np.maximum(spread, 1e-12)
    found = []
    for one, other in itertools.combinations(columns, 2):
        a, b = (one, other) if least[other] >= least[one] else (other, one)
        found += [
            Candidate(one, other, PRODUCT),
            Candidate(one, other, PRODUCT, float(middle[one]), float(middle[other])),
            Candidate(one, other, SUM, 1.0),
            Candidate(one, other, SUM, -1.0),
            Candidate(a, b, RATIO, 0.0, float(max(_NEAR * spread[b], 1e-6))),
        ]
    return found


def explained(values: Numbers, targets: Numbers) -> Numbers:
    """Returns which share of the targets' squares eight bins of each column explain, `[K]`.

    Args:
        values: `[R, K]`.
        targets: `[R, O]`, their means 0.
    """
    bins = _bins(values)
    total = np.zeros(values.shape[1])
    for place in range(_BINS):
        inside = (bins == place).astype(np.float64)
        sums = inside.T @ targets
        total += (sums**2).sum(1) / np.maximum(inside.sum(0), 1.0)
    return total / max(float((targets**2).sum()), 1e-300)


def _bins(values: Numbers) -> NDArray[np.int64]:
    """Returns the bin of each value, `[R, K]`; about as many rows in each, ties together."""
    inner = np.arange(1, _BINS) * len(values) // _BINS
    edges = np.sort(values, axis=0)[inner]
    found: NDArray[np.int64] = (values >= edges[:, None]).sum(0)
    return found


def _scaled(x: Numbers) -> Numbers:
    """Returns columns standardized."""
    found: Numbers = (x - x.mean(0)) / np.maximum(x.std(0), 1e-12)
    return found


class _Single:
    """Sums of functions of single columns, as they can be fitted to rows.

    Args:
        x: Columns of numbers, `[R, F]`.
        codes: Columns of codes, `[R, C]` each.
    """

    def __init__(self, x: Numbers, codes: list[NDArray[np.int64]]) -> None:
        ranks = scipy.stats.rankdata(x, axis=0) / len(x)
        bends = np.maximum(ranks[:, :, None] - np.arange(_BINS) / _BINS, 0.0)
        parts = [_scaled(x), bends.reshape(len(x), -1)]
        for block in codes:
            for column in block.T:
                known, which, rows = np.unique(column, return_inverse=True, return_counts=True)
                if 1 < len(known) <= len(x) // 4:
                    often = np.nonzero(rows > 1)[0]
                    parts.append((which[:, None] == often).astype(np.float64))
        design = np.concatenate(parts, axis=1)
        self._design: Numbers = design - design.mean(0)
        square = self._design.T @ self._design + _RIDGE * np.eye(design.shape[1])
        self._solved: Numbers = np.linalg.solve(square, self._design.T)

    def beyond(self, values: Numbers) -> Numbers:
        """Returns what such sums leave of values `[R, K]`, its mean 0."""
        centered: Numbers = values - values.mean(0)
        left: Numbers = centered - self._design @ (self._solved @ centered)
        left -= left.mean(0)
        return left


def _explained_beyond(values: Numbers, residual: Numbers, single: _Single) -> Numbers:
    """Returns which share of the residual `[R, O]` is explained by what is left of each, `[K]`."""
    steps = (_bins(values)[:, :, None] == np.arange(_BINS)).astype(np.float64)
    basis = np.concatenate([_scaled(values)[:, :, None], steps], axis=2)
    left = single.beyond(basis.reshape(len(values), -1)).reshape(basis.shape)
    square = np.einsum("rki,rkj->kij", left, left) + _RIDGE * np.eye(_BINS + 1)
    sums = np.einsum("rki,ro->kio", left, residual)
    total: Numbers = (sums * np.linalg.solve(square, sums)).sum((1, 2))
    return total / max(float((residual**2).sum()), 1e-300)


def _source(inputs: tuple[InputSpec, ...]) -> InputSpec | None:
    """Returns the first input that is a vector of at least two numbers."""
    found = (s for s in inputs if s.dtype == "float32" and len(s.shape) == 1 and s.shape[0] > 1)
    return next((s for s in found if not s.is_mask), None)


def _fits(facts: Facts) -> str | None:
    reason = needs_table_net(facts)
    if reason:
        return reason
    if KINDS[facts.schema.kind].has_places:
        return "targets lie on places of a row"
    if _source(facts.schema.inputs) is None:
        return "no input is a vector of two numbers or more"
    if any(spec.name == _NAME for spec in facts.schema.inputs):
        return f"an input has the name of what it adds, {_NAME!r}"
    return None


TECHNIQUE = DataTechnique(
    name="pair_features",
    summary="Add the most telling products, sums, differences and ratios of two columns.",
    reference="Lou et al., Accurate Intelligible Models with Pairwise Interactions, 2013 (the ranking)",
    apply=pair_features,
    settings=PairFeaturesSettings,
    phase=Phase.INPUTS,
    fits=_fits,
)
