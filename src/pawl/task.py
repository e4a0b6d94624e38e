"""What is to be optimized: plain values, no behavior.

A `Task` names the data, the model and the measure of success. Everything but the data may be left
out: the kind is inferred, the metric follows from the kind, and pawl builds the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from pawl.kinds import KindName
from pawl.options import AS_IT_IS, ReadOptions

Direction = Literal["maximize", "minimize"]

CLASS_METRICS = frozenset(
    ("accuracy", "balanced_accuracy", "f1", "roc_auc", "average_precision", "log_loss")
)
"""The built-in metrics of classes: asking for one makes a target of whole numbers classes."""

MetricFunction = Callable[[np.ndarray, np.ndarray], float]
"""`metric(targets, predictions) -> float`.

`targets` is `[rows]` (class indices, or values for a regression); `predictions` is
`[rows, classes]` probabilities, or `[rows]` values for a regression. Of several targets both are
`[rows, targets]`: 0 and 1 with each label's probability, or values. A function that cannot work with
probabilities so gets `[rows]` probabilities of the second of two classes, or else, as scikit-learn's
`f1_score` wants, `[rows]` class indices; that is decided once, before any training.
"""

Given = Literal["probabilities", "second", "labels"]
"""What a `MetricFunction` of classes is given as predictions."""

LossFunction = Callable[[Any, torch.Tensor], torch.Tensor]
"""`loss(outputs, targets) -> scalar`: the mean over a batch, as in `torch.nn.functional`, or each row's.

`outputs` is what the model returns, all of it: a tensor, a tuple or a dict.
"""

ModelFactory = Callable[..., nn.Module]
"""`model()` or `model(spec)`, with a `pawl.data.ModelSpec`; called once per trial under its seed.

The module may return a tuple or a dict: the first tensor predicts, or the one called `logits`,
`prediction` or `output`.
"""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The metric a campaign improves.

    Attributes:
        kind: What is predicted.
        metric: Its name, one of `pawl.training.metrics.METRICS` or the user's function's own name.
        direction: Whether more is better.
        function: The user's metric; `None` for a built-in one.
        given: What the function is given as predictions.
    """

    kind: KindName
    metric: str
    direction: Direction
    function: MetricFunction | None = None
    given: Given = "probabilities"

    @property
    def sign(self) -> float:
        """`+1` when more is better, `-1` when less is: `sign * score` is always to be maximized."""
        return 1.0 if self.direction == "maximize" else -1.0


@dataclass(frozen=True, kw_only=True)
class FunctionTask:
    """A plain function that is to be optimized; what it trains, and by what, is its own matter.

    Attributes:
        train: `train(settings, seed) -> metrics`: a number, or a mapping of names to numbers. All that
            is random in it should follow from the seed (a whole number below 2**31).
        settings: A pydantic model, whose fields' bounds are the ranges that are searched (`ge`, `le`,
            literals and truth values; `json_schema_extra={"log": True}` for a log scale), and of which
            the function gets an instance; or a mapping of names to ranges, `(low, high)`,
            `(low, high, "log")` or a list of choices, and the function gets a dict.
        metric: Which of the metrics is improved; needed where the function returns several.
        direction: Whether more of it is better.
        baseline: Settings to start from and to beat: the model's defaults, or the middle of each range,
            where they are not named here.
        name: What reports call the task; by default the function's own name.
    """

    train: Callable[[Any, int], Any]
    settings: Any
    metric: str | None = None
    direction: Direction = "maximize"
    baseline: dict[str, Any] | None = None
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be optimized.

    Attributes:
        data: A path (CSV, Parquet, a folder or archive of images by class), a sample's name
            (`digits`, `breast-cancer`), a data frame, `(inputs, targets)` with arrays or tensors
            (inputs may be a dict or a tuple of them), or a map-style `torch.utils.data.Dataset`.
        target: The target's column in a table, or several columns; by default a column called
            `target`, `label`, `class` or `y`, else the last one.
        test: Rows kept for the final claim, in the form of `data`; a stratified share by default.
        kind: `binary`, `multiclass` or `regression`; of several targets `multilabel` or
            `multitarget`; inferred by default.
        metric: A built-in metric's name or a `MetricFunction`; by the kind by default
            (`roc_auc`, `accuracy`, `rmse`, `average_precision`, `r2`).
        direction: Needed with a metric function of your own; known for the built-in ones.
        model: A `ModelFactory`; pawl builds a model by default.
        loss: A `LossFunction`; cross-entropy or squared error by default.
        weights: What the model starts from: a safetensors file, a PyTorch file of tensors, a bundle or a
            campaign's folder, or a mapping of names to tensors; random weights by default.
        allow_partial: Whether it starts from weights that match less than nine tenths of its body.
        name: What reports call the task; by default taken from the data.
        read: How rows are read, where they don't tell it themselves.
    """

    data: Any
    target: str | int | Sequence[str] | None = None
    test: Any = None
    kind: KindName | None = None
    metric: str | MetricFunction | None = None
    direction: Direction | None = None
    model: ModelFactory | None = None
    loss: LossFunction | None = None
    weights: Any = None
    allow_partial: bool = False
    name: str | None = None
    read: ReadOptions = AS_IT_IS
