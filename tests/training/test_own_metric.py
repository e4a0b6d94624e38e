"""What a metric function of the user's own is given: decided once, by what it can work with."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from problems import frame, images, problem_of
from sklearn import metrics as reference

from pawl.errors import TaskError
from pawl.task import Task
from pawl.training.metrics import score
from pawl.training.problem import Problem


def share_right(targets: np.ndarray, guesses: np.ndarray) -> float:
    """Takes probabilities without an error, and is then always zero."""
    return float((targets == guesses).mean())


def worst_recall(targets: np.ndarray, probabilities: np.ndarray) -> float:
    right = probabilities.argmax(axis=1) == targets
    return float(min(right[targets == c].mean() for c in np.unique(targets)))


macro_f1 = functools.partial(reference.f1_score, average="macro")
one_against_the_rest = functools.partial(reference.roc_auc_score, multi_class="ovr")


@functools.cache
def of(data: Callable[[], Any], metric: Any, direction: str = "maximize") -> Problem:
    return problem_of(Task(data=data(), metric=metric, direction=direction))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "metric", "given"),
    [
        (frame, reference.f1_score, "labels"),
        (frame, reference.accuracy_score, "labels"),
        (frame, reference.matthews_corrcoef, "labels"),
        (frame, share_right, "labels"),
        (frame, reference.roc_auc_score, "second"),
        (frame, reference.average_precision_score, "second"),
        (frame, reference.log_loss, "probabilities"),
        (frame, worst_recall, "probabilities"),
        (images, reference.accuracy_score, "labels"),
        (images, macro_f1, "labels"),
        (images, one_against_the_rest, "probabilities"),
        (images, worst_recall, "probabilities"),
    ],
)
def test_it_is_given_what_it_can_work_with(
    data: Callable[[], Any], metric: Any, given: str
) -> None:
    objective = of(data, metric).objective
    assert objective.given == given
    assert objective.metric == getattr(metric, "func", metric).__name__


@pytest.mark.parametrize(
    ("function", "name"),
    [(reference.accuracy_score, "accuracy"), (reference.roc_auc_score, "roc_auc")],
)
def test_its_scores_are_those_of_the_built_in_metric(function: Any, name: str) -> None:
    own, built_in = of(frame, function), of(frame, name)
    generator = np.random.default_rng(3)
    chosen = generator.random((2, len(own.targets), 2))
    predictions = own.targets.new_tensor(chosen / chosen.sum(-1, keepdims=True), dtype=None)
    for weights in (None, (own.targets.new_tensor(generator.integers(0, 3, len(own.targets))))):
        given = None if weights is None else weights.double()
        scores = [score(p.objective, predictions, own.targets, given) for p in (own, built_in)]
        assert scores[0].tolist() == pytest.approx(scores[1].tolist())


@pytest.mark.parametrize(
    ("metric", "messages"),
    [
        (
            reference.f1_score,
            ("Target is multiclass but average='binary'", "given class numbers instead, it raised",
             "targets (32,) and predictions (32, 3) (probabilities of the classes)"),
        ),
        (reference.get_scorer("accuracy"), ("_Scorer raised TypeError", "must return a number")),
        (reference.confusion_matrix, ("confusion_matrix raised", "must return a number")),
    ],
)  # fmt: skip
def test_what_works_with_nothing_says_what_it_was_given(
    metric: Any, messages: tuple[str, ...]
) -> None:
    with pytest.raises(TaskError) as caught:
        problem_of(Task(data=images(), metric=metric, direction="maximize"))
    for message in messages:
        assert message in str(caught.value)
    assert "\n" not in str(caught.value)
