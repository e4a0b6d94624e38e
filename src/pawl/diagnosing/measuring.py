"""Measures data: columns one by one, rows against each other, targets.

Shape legend: `R` rows, `F` columns, `C` classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from pawl.data import LoadedData
from pawl.data.copies import row_hashes
from pawl.data.types import Examples, Schema
from pawl.diagnosing.facts import ColumnFacts, DataFacts
from pawl.diagnosing.reference import by_trees
from pawl.kinds import KINDS

_MOST_ROWS, _MOST_COLUMNS = 5000, 300
_TREE_ROWS, _LEAVES = 2000, 32
_FEWEST_ROWS = 50
_DENSE_RANGE = 3.0
_SAME_CORRELATION = 1.0 - 1e-9
_OUTER_QUANTILE = 99.5
_TAIL = 5.0
"""Percent of the values."""
_MOSTLY = 0.5
_FEW_RUNS = 2

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Column:
    name: str
    category: bool
    date: bool
    values: Floats
    test: Floats


def measured(data: LoadedData, *, trees: bool = True) -> DataFacts:
    """Returns what is known of a task's data.

    Args:
        data: The task's.
        trees: Whether boosted trees may be trained, which takes a second or a few.
    """
    development, test, schema = data.development, data.test, data.schema
    kind = KINDS[schema.kind]
    hashes = row_hashes(development)
    targets = development.known_targets.cpu().numpy()
    flat = None if kind.has_places else targets.reshape(len(targets), -1)[:, 0]
    exclusive = kind.exclusive and not kind.has_places
    looked = np.linspace(0, len(targets) - 1, min(len(targets), _MOST_ROWS)).astype(np.int64)
    columns = _columns(schema, development, test, looked)
    known = [] if flat is None else _measured_columns(columns, flat[looked], exclusive)
    clear, explained = None, None
    words = any(spec.tokens for spec in schema.inputs)
    if trees and flat is not None and not kind.target_axes and not words:
        clear, explained = by_trees(development, flat, classes=exclusive)
    return DataFacts(
        kind=schema.kind,
        rows=len(development),
        test_rows=len(test),
        looked=len(looked),
        classes=tuple(np.bincount(flat.astype(np.int64), minlength=schema.num_outputs).tolist())
        if exclusive and flat is not None
        else (),
        names=tuple(schema.classes),
        columns=tuple(known),
        copies=1.0 - len(np.unique(hashes)) / len(hashes),
        conflicts=_conflicts(hashes, flat) if exclusive and flat is not None else 0.0,
        seen=int(np.isin(row_hashes(test), hashes).sum()) if len(test) else 0,
        neighbors=0.0 if flat is None else _neighbors(flat, classes=exclusive),
        sorted=flat is not None and _sorted(flat, classes=exclusive),
        blocks=development.blocks is not None,
        clear=clear,
        trees=explained,
    )


def _columns(
    schema: Schema, development: Examples, test: Examples, looked: NDArray[np.int64]
) -> list[_Column]:
    """Returns the numbers and categories of rows that are vectors."""
    dates = {column.name for column in schema.columns if column.kind == "date"}
    found: list[_Column] = []
    for spec in schema.inputs:
        if len(spec.shape) != 1 or spec.tokens or spec.is_mask or spec.dtype == "uint8":
            continue
        if len(found) + spec.shape[0] > _MOST_COLUMNS:
            continue
        names = spec.features or tuple(f"{spec.name}[{i}]" for i in range(spec.shape[0]))
        # Of very many rows a copy of all would be the largest thing in memory.
        mine = development.inputs[spec.name].cpu().numpy()[looked].astype(np.float64)
        theirs = test.inputs[spec.name].cpu().numpy().astype(np.float64)
        for place, name in enumerate(names):
            found.append(
                _Column(
                    name=name,
                    category=bool(spec.cardinalities),
                    date=name.rpartition(":")[0] in dates,
                    values=mine[:, place],
                    test=theirs[:, place],
                )
            )
    return found


def _measured_columns(
    columns: Sequence[_Column], targets: NDArray[Any], exclusive: bool
) -> list[ColumnFacts]:
    copies = _copies(columns)
    known = []
    for column in columns:
        values = column.values
        present = values[np.isfinite(values)]
        distinct = len(np.unique(present))
        extreme, outer, by_chance = (1.0, 0, 0.0) if column.category else _extreme(present)
        drift, p = _drift(column)
        known.append(
            ColumnFacts(
                name=column.name,
                category=column.category,
                distinct=distinct,
                counts_up=not (column.category or column.date) and _counts_up(values),
                copy_of=copies.get(column.name, ""),
                extreme=extreme,
                outer=outer,
                by_chance=by_chance,
                predicts=_predicts(values, targets, exclusive) if distinct > 1 else 0.0,
                drift=drift,
                drift_p=p,
            )
        )
    return known


def _counts_up(values: Floats) -> bool:
    if len(values) < _FEWEST_ROWS or not np.isfinite(values).all():
        return False
    whole = bool((values == np.round(values)).all())
    if not whole or len(np.unique(values)) < len(values):
        return False
    return bool(np.ptp(values) <= _DENSE_RANGE * len(values))


def _copies(columns: Sequence[_Column]) -> Mapping[str, str]:
    """Returns for each column that is a copy of an earlier one which."""
    found: dict[str, str] = {}
    numbers = [c for c in columns if not c.category]
    scaled = [_standardized(c.values) for c in numbers]
    for later, mine in enumerate(scaled):
        for earlier in range(later):
            if _same(mine, scaled[earlier]):
                found[numbers[later].name] = numbers[earlier].name
                break
    codes = [c for c in columns if c.category]
    for later, column in enumerate(codes):
        for other in codes[:later]:
            pairs = len(np.unique(np.stack([column.values, other.values]), axis=1).T)
            if pairs == len(np.unique(column.values)) == len(np.unique(other.values)) > 1:
                found[column.name] = other.name
                break
    return found


def _standardized(values: Floats) -> Floats | None:
    """Returns values of mean 0 and norm 1, gaps as 0; `None` if they never vary."""
    gaps = ~np.isfinite(values)
    centered = np.where(gaps, 0.0, values - np.mean(values[~gaps]) if (~gaps).any() else 0.0)
    norm = float(np.linalg.norm(centered))
    return centered / norm if norm > 0 else None


def _same(mine: Floats | None, other: Floats | None) -> bool:
    if mine is None or other is None:
        return False
    return abs(float(mine @ other)) >= _SAME_CORRELATION


def _extreme(values: Floats) -> tuple[float, int, float]:
    """Returns how far out the outermost value is, how many are more than half as far, and by chance.

    Of columns that mostly have one value (no rain, no gain) the others are looked at.
    """
    if not len(values):
        return 1.0, 0, 0.0
    middle = np.median(values)
    if (values == middle).mean() > _MOSTLY:
        values = values[values != middle]
    if len(values) < 4 * _FEWEST_ROWS:
        return 1.0, 0, 0.0
    far = np.abs(values - np.median(values))
    inner = far <= far.max() / 2  # a few far ones would be most of the outermost half percent
    usual = float(np.percentile(far[inner], _OUTER_QUANTILE)) if inner.any() else 0.0
    if usual <= 0:
        return 1.0, 0, 0.0
    return float(far.max()) / usual, int((~inner).sum()), _beyond(far[inner], far[~inner].min())


def _beyond(inner: Floats, far: float) -> float:
    """Returns how many values a tail that goes on like a power would have from `far` on.

    The power is Hill's estimate of the outermost twentieth of the inner distances; tails that fall
    faster have fewer. Source: Hill, A Simple General Approach to Inference About the Tail of a
    Distribution, 1975.
    """
    start = float(np.percentile(inner, 100.0 - _TAIL))
    tail = inner[inner > start]
    if not len(tail) or start <= 0:
        return 0.0
    power = 1.0 / float(np.log(tail / start).mean())
    return float(len(tail) * (far / start) ** -power)


def _predicts(values: Floats, targets: NDArray[Any], exclusive: bool) -> float:
    """Returns what a small tree explains by one column, on halves of the rows in turn."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor  # noqa: PLC0415

    if len(values) < _FEWEST_ROWS:
        return 0.0
    chosen = np.random.default_rng(0).permutation(len(values))[:_TREE_ROWS]
    x, y = np.where(np.isfinite(values), values, np.nan)[chosen, None], targets[chosen]
    if not exclusive:
        y = y.astype(np.float64)  # squares of large targets are too large for less
    make = DecisionTreeClassifier if exclusive else DecisionTreeRegressor
    half = len(x) // 2
    wrong = const = 0.0
    for fit, judge in (
        (slice(None, half), slice(half, None)),
        (slice(half, None), slice(None, half)),
    ):
        tree = make(max_leaf_nodes=_LEAVES, min_samples_leaf=5, random_state=0)
        predicted = tree.fit(x[fit], y[fit]).predict(x[judge])
        if exclusive:
            common = np.bincount(y[fit].astype(np.int64)).argmax()
            wrong += float((predicted != y[judge]).sum())
            const += float((y[judge] != common).sum())
        else:
            wrong += float(((predicted - y[judge]) ** 2).sum())
            const += float(((y[judge] - y[fit].mean()) ** 2).sum())
    return 1.0 - wrong / const if const > 0 else 0.0


def _drift(column: _Column) -> tuple[float, float]:
    """Returns how unlike training and test values are, and the p-value that they are of one source."""
    mine, theirs = column.values, column.test
    if min(len(mine), len(theirs)) < _FEWEST_ROWS:
        return 0.0, 1.0
    if column.category:
        codes = np.unique(np.concatenate([mine, theirs]))
        if len(codes) < 2:
            return 0.0, 1.0
        table = np.stack([[(part == code).sum() for code in codes] for part in (mine, theirs)])
        shares = table / table.sum(1, keepdims=True)
        return float(np.abs(shares[0] - shares[1]).sum() / 2), float(
            scipy.stats.chi2_contingency(table).pvalue
        )
    low = min(np.nanmin(np.where(np.isfinite(x), x, np.inf)) for x in (mine, theirs)) - 1.0
    found = scipy.stats.ks_2samp(*(np.where(np.isfinite(x), x, low) for x in (mine, theirs)))
    return float(found.statistic), float(found.pvalue)


def _conflicts(hashes: NDArray[np.uint64], targets: NDArray[Any]) -> float:
    """Returns the share of rows with the inputs of another row, but not its class."""
    _, inverse = np.unique(hashes, return_inverse=True)
    pairs = np.unique(np.stack([inverse, targets.astype(np.int64)]), axis=1)
    several = np.bincount(pairs[0]) > 1
    return float(several[inverse].mean())


def _neighbors(targets: NDArray[Any], *, classes: bool) -> float:
    """Returns how alike the targets of neighboring rows are: Cohen's kappa, or the correlation."""
    if len(targets) < _FEWEST_ROWS or len(np.unique(targets)) < 2:
        return 0.0
    if classes:
        shares = np.bincount(targets.astype(np.int64)) / len(targets)
        chance = float((shares**2).sum())
        same = float((targets[1:] == targets[:-1]).mean())
        return (same - chance) / (1.0 - chance)
    ranks = scipy.stats.rankdata(targets)
    return float(np.corrcoef(ranks[1:], ranks[:-1])[0, 1])


def _sorted(targets: NDArray[Any], *, classes: bool) -> bool:
    """Tells whether rows are in order of their targets, or by class."""
    if classes:
        runs = 1 + int((targets[1:] != targets[:-1]).sum())
        return runs <= _FEW_RUNS * len(np.unique(targets))
    steps = np.diff(targets)
    return bool((steps >= 0).mean() > 0.99 or (steps <= 0).mean() > 0.99)
