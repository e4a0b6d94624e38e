"""Weak slices: kinds of rows that a model is worse at, by one or two columns.

Trees over one column, or two, grow on the errors of one half of the rows; the slices with most excess
error go to a test on the other half, where they were not chosen, corrected for how many are tested.

Shape legend: `R` rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import special
from sklearn.tree import DecisionTreeRegressor

from pawl.data.types import Inputs
from pawl.evidence import ALPHA, holm
from pawl.explaining.judged import Slice, Slices
from pawl.explaining.subject import Feature, Values, taken
from pawl.rng import derive_seed

FEWEST = 200
"""Rows below which halves are too small to find and test anything."""
_LEAST, _SHARE = 20, 0.03
_LEAVES = (3, 5)
_PAIRED, _TESTED, _NAMED = 8, 10, 6
_OVERLAP = 0.5


@dataclass(frozen=True)
class _Bound:
    """A condition on a column: numbers above and at most, or categories by their codes."""

    feature: Feature
    low: float = -np.inf
    high: float = np.inf
    missing: bool = False
    codes: tuple[int, ...] = ()

    def holds(self, inputs: Inputs) -> NDArray[np.bool_]:
        values = self.feature.numbers(inputs)
        absent = ~np.isfinite(values)
        if self.feature.kind == "categorical":
            return np.isin(np.where(absent, 0, values).astype(np.int64), self.codes)
        within: NDArray[np.bool_] = (values > self.low) & (values <= self.high)
        return np.where(absent, self.missing, within)

    @property
    def text(self) -> str:
        name, told = self.feature.name, self.feature.text
        if self.feature.kind == "categorical":
            shown = [told(code if code else np.nan) for code in self.codes[:_NAMED]]
            more = len(self.codes) - len(shown)
            listed = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
            return f"{name} is {listed}" if len(self.codes) == 1 else f"{name} is one of {listed}"
        ends = [f"above {told(self.low)}"] if np.isfinite(self.low) else []
        ends += [f"at most {told(self.high)}"] if np.isfinite(self.high) else []
        if self.feature.kind == "boolean" and ends:
            ends = ["no" if np.isfinite(self.high) else "yes"]
        said = " and ".join(ends)
        if self.missing:
            said = f"{said} or missing" if said else "missing"
        return f"{name} {said or 'there'}"


@dataclass(frozen=True)
class _Candidate:
    bounds: tuple[_Bound, ...]
    excess: float
    rows: NDArray[np.bool_] = field(compare=False)


def weak_slices(
    features: Sequence[Feature],
    inputs: Inputs,
    errors: Values,
    *,
    error: str,
    important: Sequence[str],
    seed: int,
) -> Slices:
    """Searches for slices with larger errors.

    The test is Welch's, one-sided, of the errors inside against those outside; it takes rows as
    independent draws, and means of errors as roughly normal.

    Args:
        features: Columns to describe slices by.
        inputs: The rows.
        errors: Of each row, `[R]`.
        error: What they are called.
        important: Names of columns, the most important first: pairs are made of the first of them.
        seed: Of the halves.
    """
    generator = np.random.default_rng(derive_seed(seed, "halves"))
    order = generator.permutation(len(errors))
    first, second = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    found, looked = _candidates(features, taken(inputs, first), errors[first], important)
    chosen = _unlike(found)
    there, held = taken(inputs, second), errors[second]
    tested = []
    for each in chosen:
        inside = np.logical_and.reduce([bound.holds(there) for bound in each.bounds])
        if _LEAST // 2 <= inside.sum() <= len(inside) - _LEAST:
            tested.append((each, inside, _welch(held[inside], held[~inside])))
    adjusted = holm([p for *_, (_, _, p) in tested])
    told = [
        Slice(
            text=", ".join(bound.text for bound in each.bounds),
            features=[bound.feature.name for bound in each.bounds],
            rows=int(inside.sum()),
            error=float(held[inside].mean()),
            other=float(held[~inside].mean()),
            difference=difference,
            interval=interval,
            p_value=p,
            weak=p <= ALPHA,
        )
        for (each, inside, (difference, interval, _)), p in zip(tested, adjusted, strict=True)
    ]
    told.sort(key=lambda each: (each.p_value, -each.difference))
    return Slices(error=error, looked=looked, tested=len(told), rows=len(second), slices=told)


def _candidates(
    features: Sequence[Feature], inputs: Inputs, errors: Values, important: Sequence[str]
) -> tuple[list[_Candidate], int]:
    least = max(_LEAST, round(_SHARE * len(errors)))
    usable = [each for each in features if each.kind != "input"]
    columns = {each.name: _Column.of(each, inputs, errors) for each in usable}
    ranked = sorted(usable, key=lambda f: important.index(f.name) if f.name in important else 999)
    sets = [(each,) for each in usable] + list(itertools.combinations(ranked[:_PAIRED], 2))
    found: list[_Candidate] = []
    looked = 0
    for chosen in sets:
        own = [columns[each.name] for each in chosen]
        x = np.stack([column.values for column in own], 1)
        tree = DecisionTreeRegressor(
            max_leaf_nodes=_LEAVES[len(own) - 1], min_samples_leaf=least, random_state=0
        ).fit(x, errors)
        leaves = tree.apply(x)
        for leaf, bounds in _leaves(tree.tree_, own):
            looked += 1
            inside = leaves == leaf
            excess = float(errors[inside].mean() - errors.mean())
            if bounds and excess > 0 and not inside.all():
                spread = float(errors.std()) or 1.0
                found.append(_Candidate(bounds, excess / spread * np.sqrt(inside.sum()), inside))
    return sorted(found, key=lambda each: -each.excess), looked


@dataclass(frozen=True)
class _Column:
    """A column as numbers for a tree: gaps lie below all, categories in the order of their errors."""

    feature: Feature
    values: Values
    codes: tuple[int, ...] = ()
    has_gaps: bool = False

    @classmethod
    def of(cls, feature: Feature, inputs: Inputs, errors: Values) -> _Column:
        values = feature.numbers(inputs)
        if feature.kind == "categorical":
            codes = np.nan_to_num(values).astype(np.int64)
            counts = np.bincount(codes)
            means = np.bincount(codes, errors) / np.maximum(counts, 1)
            there = np.flatnonzero(counts)
            order = there[np.argsort(means[there], kind="stable")]
            ranks = np.zeros(len(counts))
            ranks[order] = np.arange(len(order))
            return cls(feature, ranks[codes], tuple(order.tolist()))
        finite = np.isfinite(values)
        least = values[finite].min() if finite.any() else 0.0
        below = least - max(1.0, abs(least))
        return cls(feature, np.where(finite, values, below), has_gaps=not finite.all())

    def bound(self, low: float, high: float) -> _Bound | None:
        """Returns the condition that a value lies in `(low, high]`; `None` if any does."""
        if self.codes:
            inside = [code for rank, code in enumerate(self.codes) if low < rank <= high]
            if len(inside) == len(self.codes):
                return None
            return _Bound(self.feature, codes=tuple(inside))
        missing = self.has_gaps and not np.isfinite(low)
        least = self.values.min()
        if missing and high < np.inf:
            only_gaps = not (self.values[self.values > least] <= high).any()
            high = -np.inf if only_gaps else high
        if not np.isfinite(low) and high == np.inf:
            return None
        return _Bound(self.feature, low, high, missing)


def _leaves(tree, columns: Sequence[_Column]) -> list[tuple[int, tuple[_Bound, ...]]]:  # type: ignore[no-untyped-def]
    """Returns a grown tree's leaves with their conditions."""
    found = []
    stack: list[tuple[int, list[tuple[float, float]]]] = [(0, [(-np.inf, np.inf)] * len(columns))]
    while stack:
        node, ranges = stack.pop()
        at = tree.feature[node]
        if at < 0:
            bounds = [column.bound(*span) for column, span in zip(columns, ranges, strict=True)]
            found.append((node, tuple(bound for bound in bounds if bound is not None)))
            continue
        threshold, (low, high) = float(tree.threshold[node]), ranges[at]
        left, right = list(ranges), list(ranges)
        left[at], right[at] = (low, min(high, threshold)), (max(low, threshold), high)
        stack += [(int(tree.children_right[node]), right), (int(tree.children_left[node]), left)]
    return found


def _unlike(found: Sequence[_Candidate]) -> list[_Candidate]:
    """Returns the candidates with most excess, without those that hold nearly the same rows."""
    chosen: list[_Candidate] = []
    for each in found:
        if len(chosen) == _TESTED:
            break
        if all(
            (each.rows & other.rows).sum() < _OVERLAP * (each.rows | other.rows).sum()
            for other in chosen
        ):
            chosen.append(each)
    return chosen


def _welch(inside: Values, outside: Values) -> tuple[float, tuple[float, float], float]:
    """Returns the difference of two means, its 95% interval, and the p-value of none or less."""
    difference = float(inside.mean() - outside.mean())
    parts = [float(each.var(ddof=1)) / len(each) for each in (inside, outside)]
    error = float(np.sqrt(sum(parts)))
    if error == 0:
        return difference, (difference, difference), 0.0 if difference > 0 else 1.0
    degrees = sum(parts) ** 2 / sum(
        part**2 / (len(each) - 1) for part, each in zip(parts, (inside, outside), strict=True)
    )
    half = float(special.stdtrit(degrees, 0.975)) * error
    p = float(special.stdtr(degrees, -difference / error))
    return difference, (difference - half, difference + half), p
