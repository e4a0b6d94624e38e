"""Values of `explain.json` that say how far a model can be trusted; see `result`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pawl.explaining.value import Interval
from pawl.report.values import Value


class Bin(Value):
    """Rows with like predictions: their mean prediction, and the mean of what is true."""

    predicted: float
    actual: float
    interval: Interval
    rows: int


class Calibration(Value):
    """Predictions against what is true, in bins of equally many rows.

    `error` is the mean distance of `actual` from `predicted` over bins (of probabilities the expected
    calibration error), with its 95% interval; `by_chance` is what a perfectly calibrated model would
    have on as many rows, on average and in 19 of 20 cases at most.
    """

    what: str
    bins: list[Bin]
    error: float
    interval: Interval
    by_chance: tuple[float, float]
    rows: int


class Slice(Value):
    """Rows that the model is worse at: `error` inside, `other` outside, on rows it was not found by.

    `p_value` is corrected for the number of slices tested (Holm).
    """

    text: str
    features: list[str]
    rows: int
    error: float
    other: float
    difference: float
    interval: Interval
    p_value: float
    weak: bool


class Slices(Value):
    """Weak slices: found by trees on the errors of one half of the rows, tested on the other."""

    error: str
    looked: int
    tested: int
    rows: int
    slices: list[Slice]


class ClassSets(Value):
    """Rows of a class: the share whose set holds it, with the 95% interval, and the sets' mean size."""

    name: str
    rows: int
    held: float
    interval: Interval
    size: float


class Sets(Value):
    """Conformal sets of classes, or intervals of values, that are to hold the truth of a share of rows.

    `made_by` are the rows they were made by, `held` the share of `rows` others in them. `sizes` counts
    sets by their number of classes, from 0 on; `widths` are the intervals' of each target, `spread` its
    deviation over rows.
    """

    source: Literal["the bundle", "one half of these rows"]
    coverage: float
    made_by: int
    rows: int
    held: float
    interval: Interval
    sizes: list[int]
    widths: list[float]
    spread: list[float]
    classes: list[ClassSets]


class RobustnessPoint(Value):
    """The metric where rows are spoiled as far as `level`, and what it loses; below 0 it gains."""

    level: float
    value: float
    interval: Interval
    lost: float
    lost_interval: Interval


class Robustness(Value):
    """The metric against how much is spoiled, from nothing on: cells missing, or noise on numbers."""

    what: Literal["missing", "noise"]
    unit: Literal["share of cells", "deviations"]
    cells: str
    metric: str
    direction: Literal["maximize", "minimize"]
    rows: int
    draws: int
    points: list[RobustnessPoint]


class ClassErrors(Value):
    """A class: its rows, the share found, the share of its predictions that is right."""

    name: str
    rows: int
    recall: float | None
    precision: float | None
    taken_for: str


class WorstRow(Value):
    """A row that is predicted badly; `row` counts from 0, `shown` are its most important values.

    `texts` are its texts as the model reads them, long ones cut.
    """

    row: int
    file: str
    shown: list[str]
    texts: list[str] = Field(default_factory=list)
    actual: str
    predicted: str
    error: float


class ClassWorst(Value):
    """The rows of a class that are predicted worst."""

    name: str
    worst: list[WorstRow]


class Errors(Value):
    """Errors by class, the worst rows of all, and those of each class with errors."""

    error: str
    mean: float
    classes: list[ClassErrors]
    worst: list[WorstRow]
    by_class: list[ClassWorst] = Field(default_factory=list)
