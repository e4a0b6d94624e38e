"""What a compressed model does otherwise: rows, classes and slices lost or gained, calibration.

Shape legend: `R` rows, `P` one row's prediction, `N` probabilities or values with what came true.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pawl.compression.slicing import LEAST_ROWS, classes_of, slices_of
from pawl.data.types import Examples, Schema
from pawl.evidence import ALPHA, holm
from pawl.kinds import KINDS, NOTHING, Kind

_MOST_SLICES, _BINS, _DRAWS = 12, 10, 200
Values = NDArray[np.float64]
Predictions = NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """A class, or rows that have something in common.

    Attributes:
        name: What they have.
        rows: How many.
        before: The measure of the original.
        after: Of the compressed model.
        interval: 95% interval of `after - before`, over rows.
        lost: Rows that were right and are not any more; `None` for values.
        gained: Rows that are right and were not before.
        p_value: Two-sided, corrected for the number of parts (Holm).
        moved: Whether it is shown to have changed.
    """

    name: str
    rows: int
    before: float
    after: float
    interval: tuple[float, float]
    lost: int | None
    gained: int | None
    p_value: float
    moved: bool


@dataclass(frozen=True)
class Calibration:
    """Mean distance of probabilities from frequencies, or of values from values.

    In bins of equally many; of two classes the second's probability, of several the predicted one's
    (Guo et al., On Calibration of Modern Neural Networks, 2017). On few rows it is above 0 by chance
    alone, before as after.

    Attributes:
        before: Of the original.
        after: Of the compressed model.
        interval: 95% interval of `after - before`, by a bootstrap over rows.
    """

    before: float
    after: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Changes:
    """What a compressed model does otherwise, on the rows that judged it.

    Attributes:
        measure: Of parts: `share right` or `mean absolute error`.
        flipped: Rows that got another class, in at least one place or label; `None` for values.
        whole: All rows.
        classes: Rows of each class.
        slices: Of a table: the kinds of rows that changed with most evidence.
        parts: How many classes and slices were looked at.
        calibration: Before and after; `None` where there is none.
    """

    measure: str
    flipped: int | None
    whole: Part
    classes: tuple[Part, ...]
    slices: tuple[Part, ...]
    parts: int
    calibration: Calibration | None

    @property
    def statement(self) -> str:
        """In one sentence."""
        whole = self.whole
        if self.flipped is None:
            low, high = whole.interval
            told = (
                f"{self.measure} {whole.before:.4g} before and {whole.after:.4g} after (95% of the"
            )
            told += f" difference {low:+.3g} to {high:+.3g})"
        else:
            told = f"{self.flipped:,} of {whole.rows:,} rows have another class"
            if whole.lost is not None:
                told += f": {whole.lost:,} were right before, {whole.gained:,} are now"
        moved = [each.name for each in (*self.classes, *self.slices) if each.moved]
        if moved:
            return f"{told}; shown to have changed: {', '.join(moved)}"
        if not self.parts:
            return told
        return f"{told}; none of {self.parts} classes and slices is shown to have changed"


def changes(
    schema: Schema, rows: Examples, before: Predictions, after: Predictions, seed: int
) -> Changes:
    """Compares two models row by row.

    Rows are taken as independent draws. Where a row is right or wrong, p-values are of the exact test of
    McNemar (1947) and intervals those of Bonett and Price (2012); elsewhere both are by Student's t of
    the differences. P-values are corrected for all classes and slices that were looked at; intervals
    are one by one.

    Args:
        schema: The bundle's.
        rows: With targets.
        before: What the original predicts, `[R, *P]`.
        after: What the compressed model predicts.
        seed: Of the bootstrap.
    """
    kind, targets = KINDS[schema.kind], rows.known_targets.numpy()
    binary = kind.exclusive and not kind.has_places
    own, other = (_measured(kind, targets, each) for each in (before, after))
    flipped = None
    if kind.has_classes:
        unlike = kind.labels(before) != kind.labels(after)
        flipped = int(unlike.reshape(len(unlike), -1).any(1).sum())
    classes = list(classes_of(schema, targets)) if binary else []
    named = [*classes, *slices_of(schema, rows)]
    found = [_part(name, own[at], other[at], exact=binary) for name, at in named]
    corrected = [
        replace(part, p_value=p, moved=p < ALPHA)
        for part, p in zip(found, holm([each.p_value for each in found]), strict=True)
    ]
    slices = sorted(corrected[len(classes) :], key=lambda part: part.p_value)
    return Changes(
        measure="share right" if kind.has_classes else "mean absolute error",
        flipped=flipped,
        whole=_part("all rows", own, other, exact=binary),
        classes=tuple(corrected[: len(classes)]),
        slices=tuple(slices[:_MOST_SLICES]),
        parts=len(found),
        calibration=_calibration(kind, targets, before, after, seed),
    )


def _measured(kind: Kind, targets: NDArray[np.generic], predictions: Predictions) -> Values:
    """Returns each row's measure, `[R]`: whether it is right, which share of it is, or its error."""
    if not kind.has_classes:
        errors = np.abs(predictions.astype(np.float64) - targets.astype(np.float64))
        return np.asarray(errors.reshape(len(errors), -1).mean(1))
    there = (targets != NOTHING).reshape(len(targets), -1)
    right = (kind.labels(predictions) == targets).reshape(there.shape) & there
    return np.asarray(right.sum(1) / np.maximum(there.sum(1), 1))


def _part(name: str, before: Values, after: Values, *, exact: bool) -> Part:
    difference, count = after - before, len(before)
    lost, gained = int((difference < 0).sum()), int((difference > 0).sum())
    middle = float(difference.mean())
    if exact:
        p_value = min(1.0, 2.0 * float(special.bdtr(min(lost, gained), lost + gained, 0.5)))
        up, down = (gained + 1) / (count + 2), (lost + 1) / (count + 2)
        middle, spread = up - down, up + down - (up - down) ** 2
        half = 1.959964 * float(np.sqrt(spread / (count + 2)))
    else:
        error = float(difference.std(ddof=1) / np.sqrt(count)) if count > 1 else 0.0
        degrees = max(1, count - 1)
        half = float(special.stdtrit(degrees, 0.975)) * error
        p_value = 1.0
        if error > 0:
            p_value = 2.0 * float(special.stdtr(degrees, -abs(middle) / error))
    return Part(
        name=name, rows=count, before=float(before.mean()), after=float(after.mean()),
        interval=(middle - half, middle + half), lost=lost if exact else None,
        gained=gained if exact else None, p_value=p_value, moved=p_value < ALPHA,
    )  # fmt: skip


def _calibration(
    kind: Kind,
    targets: NDArray[np.generic],
    before: Predictions,
    after: Predictions,
    seed: int,
) -> Calibration | None:
    if (
        kind.has_places
        or len(targets) < 2 * LEAST_ROWS
        or (not kind.has_classes and targets.ndim > 1)
    ):
        return None
    pairs = [_told(kind, targets, each) for each in (before, after)]
    generator, moved = np.random.default_rng(seed), list[float]()
    for _ in range(_DRAWS):
        drawn = generator.integers(0, len(targets), len(targets))
        one, two = (_error(told[drawn], true[drawn]) for told, true in pairs)
        moved.append(two - one)
    low, high = np.quantile(moved, [0.025, 0.975])
    own, other = (_error(*pair) for pair in pairs)
    return Calibration(own, other, (float(low), float(high)))


def _told(
    kind: Kind, targets: NDArray[np.generic], predictions: Predictions
) -> tuple[Values, Values]:
    """Returns what is predicted and what came true, each `[R, ...]`."""
    told = predictions.astype(np.float64)
    if not kind.exclusive:
        return told, targets.astype(np.float64)
    best = np.ones(len(told), dtype=np.int64) if told.shape[1] == 2 else told.argmax(1)
    return told[np.arange(len(told)), best], (targets == best).astype(np.float64)


def _error(told: Values, true: Values) -> float:
    """Returns the mean distance over bins, weighted by how many are in them; of `[N]` each."""
    told, true = told.ravel(), true.ravel()
    gaps = (true - told)[np.argsort(told, kind="stable")]
    edges = np.linspace(0, len(gaps), min(_BINS, len(gaps)) + 1).round().astype(np.int64)
    return float(np.abs(np.add.reduceat(gaps, edges[:-1])).sum() / len(gaps))
