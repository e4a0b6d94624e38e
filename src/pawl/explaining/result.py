"""`explain.json`: what a model does, as typed values.

The models here, and those of `judged`, are the one definition; `explain.schema.json` beside this file is
generated from them (`python -m pawl.explaining.result`), and a test holds the two equal.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from pawl.explaining.judged import Calibration, Errors, Robustness, Sets, Slices
from pawl.explaining.value import Check, Interval
from pawl.options import KindName
from pawl.report.values import Document, Value

SCHEMA_FILE = Path(__file__).with_name("explain.schema.json")
Method = Literal[
    "exact Shapley values", "sampled Shapley values", "feature ablation", "LIME",
    "integrated gradients", "expected gradients",
]  # fmt: skip
"""How rows are attributed."""


class FeatureImportance(Value):
    """What the metric loses where a column's values are those of other rows; below zero it gains.

    `features` are the columns that are permuted together.
    """

    name: str
    features: list[str]
    value: float
    interval: Interval


class Importance(Value):
    """Permutation importance, most important columns first; intervals are of 95%, one by one.

    `groups` are of columns whose rank correlation is `threshold` or more; they are permuted together.
    """

    metric: str
    direction: Literal["maximize", "minimize"]
    score: float
    rows: int
    permutations: int
    threshold: float
    features: list[FeatureImportance]
    groups: list[FeatureImportance]
    checks: list[Check]


class Dependence(Value):
    """Partial dependence of an output on a column, and of single rows (individual conditional
    expectation).

    `grid` are the column's values, as text; `at` as numbers, empty for categories. `mean` with its 95%
    `interval` is over rows; `single` has a list for each of a few rows.
    """

    feature: str
    kind: str
    output: str
    grid: list[str]
    at: list[float]
    mean: list[float]
    interval: list[Interval]
    single: list[list[float]]
    rows: int
    checks: list[Check]


class RowAttribution(Value):
    """What each column adds to a row's prediction: `prediction - base` in parts.

    `row` counts from 0; `shown` are the columns' values, `errors` standard errors.
    """

    row: int
    output: str
    prediction: float
    base: float
    shown: list[str]
    values: list[float]
    errors: list[float]


class Attributions(Value):
    """Attributions of rows by one method, against the mean prediction of a background sample.

    `evaluations` are model evaluations per row. `completeness` is the largest
    `|sum of attributions - (prediction - base)|`, in deviations of the prediction over rows; none for
    methods whose parts are not meant to add up.
    """

    method: Method
    background: int
    evaluations: int
    features: list[str]
    rows: list[RowAttribution]
    completeness: float | None
    checks: list[Check]


class TreeColumn(Value):
    """How much trees look at a column: splits by it, its share of the gain, and its mean Shapley value.

    The gain of a split is how far apart it sets what its tree says of the rows given; it, and the number
    of splits, favor columns with many values. `shapley` is the mean size over rows, in the trees' units.
    """

    name: str
    splits: int
    gain: float
    shapley: float


class TreeImportance(Value):
    """What trees look at, those with the largest Shapley values first.

    `share` is what they count in the bundle's prediction, `units` what they speak in; Shapley values are
    exact, of `rows` rows against `background` others.
    """

    units: str
    trees: int
    leaves: int
    share: float
    rows: int
    background: int
    columns: list[TreeColumn]
    checks: list[Check]


class Picture(Value):
    """A map over an image, `[H][W]`: how much each place speaks for `output`. `row` counts from 0."""

    row: int
    file: str
    output: str
    prediction: float
    map: list[list[float]]


class Pictures(Value):
    """Maps of images by one method."""

    method: Literal["occlusion", "integrated gradients", "Grad-CAM"]
    detail: str
    pictures: list[Picture]
    checks: list[Check]


class Word(Value):
    """A word of a text, or a few in a row, as the model reads it: what the output loses without it."""

    column: str
    text: str
    value: float


class Text(Value):
    """A row's words, in their order. `row` counts from 0."""

    row: int
    output: str
    prediction: float
    words: list[Word]


class Texts(Value):
    """What words add to their rows' predictions, or how much attention looks at them."""

    method: Literal["occlusion", "attention"]
    detail: str
    texts: list[Text]
    checks: list[Check]


class Change(Value):
    """A column's importance here, that in the other bundle, and the difference with its 95% interval.

    Ranks count from 1, the most important first. `moved` is whether the difference is shown, corrected
    for the number of columns (Holm).
    """

    name: str
    value: float
    other: float
    difference: float
    interval: Interval
    p_value: float
    moved: bool
    rank: int
    other_rank: int


class Against(Value):
    """How the explanation differs from another bundle's, on the same rows and the same permutations.

    `score_difference` is this one minus the other, positive where this one is better; `same` is the
    share of rows with the same class, or the correlation of predictions, by `same_is`. `agreement` is
    the rank correlation of importances. `only_here` and `only_there` are columns that one of both lacks.
    """

    name: str
    metric: str
    score: float
    other_score: float
    score_difference: float
    score_interval: Interval
    rows: int
    permutations: int
    same: float
    same_is: Literal["share of rows with the same class", "correlation of predictions"]
    agreement: float | None
    changes: list[Change]
    only_here: list[str]
    only_there: list[str]


class Explanation(Document):
    """What a model does on these rows.

    Parts that are not there are named in `skipped`, each with the reason in a line.
    """

    schema_: Literal[1] = Field(1, alias="schema")
    name: str
    kind: KindName
    target: str
    outputs: list[str]
    rows: int
    seed: int
    seconds: float | None = Field(
        description="The time that was given; none for as long as it takes."
    )
    importance: Importance | None = None
    dependences: list[Dependence] = Field(default_factory=list)
    attributions: list[Attributions] = Field(default_factory=list)
    trees: list[TreeImportance] = Field(default_factory=list)
    pictures: list[Pictures] = Field(default_factory=list)
    texts: Texts | None = None
    attention: Texts | None = None
    calibration: Calibration | None = None
    sets: Sets | None = None
    robustness: list[Robustness] = Field(default_factory=list)
    slices: Slices | None = None
    errors: Errors | None = None
    against: Against | None = None
    skipped: dict[str, str] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    versions: dict[str, str] = Field(default_factory=dict)
    command: str = ""


def json_schema() -> str:
    """Returns the JSON schema of `explain.json`."""
    schema = Explanation.model_json_schema(by_alias=True, mode="serialization")
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json_schema(), encoding="utf-8")
