"""Conformal sets and intervals on rows: how often they hold the truth, and how large they are.

Shape legend: `R` rows, `C` classes, `T` targets.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pawl.explaining.calibration import wilson
from pawl.explaining.judged import ClassSets, Sets
from pawl.explaining.subject import Subject
from pawl.kinds import Conformal
from pawl.rng import derive_seed

COVERAGE = 0.9
FEWEST = 40
"""Rows below which halves say nothing."""


def sets(
    subject: Subject,
    predictions: NDArray[np.float32],
    targets: NDArray[np.float64],
    kept: Conformal | None,
    *,
    seed: int,
) -> Sets | str:
    """Returns how often the truth is in the sets, or intervals, and how large they are.

    They are the bundle's where it has them. Else they are made by one half of these rows and judged on
    the other (split conformal prediction, Papadopoulos et al. 2002), to hold 90%: that is what
    predictions of this model could come with. Shares have Wilson's 95% interval, over rows as
    independent draws; that the sets hold as many of every class is not promised, so each is counted.

    Args:
        subject: What is explained.
        predictions: As the model gives them, `[R, *P]`.
        targets: `[R]` or `[R, T]`.
        kept: The bundle's.
        seed: Of the halves.
    """
    kind = subject.kind
    if kind.has_places or (kind.has_classes and not kind.exclusive):
        return "sets are for classes and values, one of each for a row"
    judged = np.arange(len(targets))
    made = kept
    if made is None:
        if len(targets) < FEWEST:
            return f"{len(targets)} rows are too few; {FEWEST} or more are needed"
        order = np.random.default_rng(derive_seed(seed, "halves of sets")).permutation(len(targets))
        first, judged = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
        made = Conformal.of(kind, predictions[first], targets[first], COVERAGE)
        assert made is not None
    own, truth = predictions[judged], targets[judged]
    holds: NDArray[np.bool_] = np.all(made.holds(kind, own, truth), axis=1)
    inside = made.sets(own) if kind.has_classes else None
    sizes = None if inside is None else inside.sum(1)
    return Sets(
        source="the bundle" if kept is not None else "one half of these rows",
        coverage=made.coverage,
        made_by=made.rows,
        rows=len(judged),
        held=float(holds.mean()),
        interval=wilson(float(holds.mean()), len(holds)),
        sizes=[] if sizes is None else np.bincount(sizes).tolist(),
        widths=[] if inside is not None else [2.0 * limit for limit in made.limits],
        spread=[]
        if inside is not None
        else [float(s) for s in np.std(truth.reshape(len(truth), -1), 0)],
        classes=[] if sizes is None else _classes(subject, holds, sizes, truth),
    )


def as_promised(found: Sets) -> bool:
    """Tells whether the share that is asked for lies within the interval, or below it."""
    return found.interval[1] >= found.coverage


def _classes(
    subject: Subject, holds: NDArray[np.bool_], sizes: NDArray[np.int64], truth: NDArray[np.float64]
) -> list[ClassSets]:
    told = []
    for place, name in enumerate(subject.outputs):
        own = truth == place
        count = int(own.sum())
        if count:
            held = float(holds[own].mean())
            told.append(
                ClassSets(
                    name=name, rows=count, held=held, interval=wilson(held, count),
                    size=math.fsum(sizes[own]) / count,
                )
            )  # fmt: skip
    return told
