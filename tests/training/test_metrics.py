"""Metrics are scikit-learn's, over many models at once, with weights and ties."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from of_kinds import COUNTS, raw_of, targets_of
from sklearn import metrics as reference
from torch import Tensor

from pawl.errors import TaskError
from pawl.kinds import KINDS, NOTHING, KindName
from pawl.training.metrics import METRICS, make_objective, score

Array = np.ndarray[Any, Any]
Reference = Callable[[Array, Array, Array], float]


def _one_against_the_rest(t: Array, p: Array, w: Array) -> float:
    if p.shape[1] == 2:
        return float(reference.roc_auc_score(t, p[:, 1], sample_weight=w))
    each = [reference.roc_auc_score(t == c, p[:, c], sample_weight=w) for c in range(p.shape[1])]
    return float(np.mean(each))


def _f1(t: Array, p: Array, w: Array) -> float:
    how = "binary" if p.shape[1] == 2 else "macro"
    return float(reference.f1_score(t, p.argmax(1), average=how, sample_weight=w))


CLASSES: dict[str, Reference] = {
    "accuracy": lambda t, p, w: reference.accuracy_score(t, p.argmax(1), sample_weight=w),
    "balanced_accuracy": lambda t, p, w: reference.balanced_accuracy_score(
        t, p.argmax(1), sample_weight=w
    ),
    "f1": _f1,
    "roc_auc": _one_against_the_rest,
    "average_precision": lambda t, p, w: reference.average_precision_score(
        t, p[:, 1], sample_weight=w
    ),
    "log_loss": lambda t, p, w: reference.log_loss(
        t, p.astype(np.float32), sample_weight=w, labels=list(range(p.shape[1]))
    ),
}
VALUES: dict[str, Reference] = {
    "rmse": lambda t, p, w: reference.root_mean_squared_error(t, p, sample_weight=w),
    "mae": lambda t, p, w: reference.mean_absolute_error(t, p, sample_weight=w),
    "r2": lambda t, p, w: reference.r2_score(t, p, sample_weight=w),
}


LABELS: dict[str, Reference] = {
    "f1_micro": lambda t, p, w: reference.f1_score(t, p > 0.5, average="micro", sample_weight=w),
    "exact_match": lambda t, p, w: reference.accuracy_score(t, p > 0.5, sample_weight=w),
}


def _macro(one: Reference) -> Reference:
    """Returns the mean over labels of a metric of two classes."""
    return lambda t, p, w: float(
        np.mean([one(t[:, i], np.stack([1 - p[:, i], p[:, i]], 1), w) for i in range(t.shape[1])])
    )


LABELS |= {name: _macro(one) for name, one in CLASSES.items()}
OF_LABELS: dict[str, Reference] = {
    "f1": lambda t, p, w: reference.f1_score(t, p > 0.5, average="macro", sample_weight=w),
    "roc_auc": lambda t, p, w: reference.roc_auc_score(t, p, average="macro", sample_weight=w),
    "average_precision": lambda t, p, w: reference.average_precision_score(
        t, p, average="macro", sample_weight=w
    ),
}
"""scikit-learn's own macro averages, which the means over labels must be."""


def test_every_metric_has_a_reference() -> None:
    assert {*CLASSES, *VALUES, *LABELS, "perplexity", "mean_iou"} == set(METRICS)
    for name, metric in METRICS.items():
        assert ("multilabel" in metric.kinds) == (name in LABELS)
        assert ("multitarget" in metric.kinds) == (name in VALUES)


@st.composite
def classified(draw: st.DrawFn, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Predictions, targets with every class, and counts; probabilities in eighths tie often."""
    rows = draw(st.integers(classes, 24))
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    targets = np.concatenate([np.arange(classes), generator.integers(0, classes, rows - classes)])
    # Eighths are exact in float32 and sum to one exactly, so that no tie is broken by rounding.
    p = generator.multinomial(8, np.full(classes, 1 / classes), rows) / 8
    weights = generator.integers(1, 4, rows) if draw(st.booleans()) else np.ones(rows)
    if draw(st.booleans()) and rows > 2 * classes:
        weights[classes:] *= generator.integers(0, 2, rows - classes)
    return (
        torch.tensor(p, dtype=torch.float32),
        torch.tensor(targets),
        torch.tensor(weights, dtype=torch.float32),
    )


def _compare(name: str, kind: KindName, one: Reference, p: Tensor, t: Tensor, w: Tensor) -> None:
    objective = make_objective(name, None, kind)
    expected = one(t.numpy(), p.double().numpy(), w.double().numpy())
    tolerance = {"rtol": 1e-5, "atol": 1e-6}
    got = score(objective, p, t, w)
    assert got.dtype == torch.float64
    torch.testing.assert_close(float(got), expected, **tolerance)
    repeated = torch.repeat_interleave(torch.arange(len(t)), w.long())
    torch.testing.assert_close(
        float(score(objective, p[repeated], t[repeated])), expected, **tolerance
    )


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "log_loss"])
@pytest.mark.parametrize("classes", [2, 3])
def test_classes(name: str, classes: int) -> None:
    kind: KindName = "binary" if classes == 2 else "multiclass"
    if kind not in METRICS[name].kinds:
        pytest.skip(f"{name} is not for {kind}")

    @settings(max_examples=60, deadline=None)
    @given(classified(classes))
    def check(data: tuple[Tensor, Tensor, Tensor]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, on classes that are never predicted
            _compare(name, kind, CLASSES[name], *data)

    check()


@pytest.mark.parametrize("classes", [2, 4])
def test_log_loss(classes: int) -> None:
    kind: KindName = "binary" if classes == 2 else "multiclass"
    generator = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(60, classes, generator=generator)
    targets = torch.randint(classes, (60,), generator=generator)
    weights = torch.randint(1, 4, (60,), generator=generator).float()
    _compare("log_loss", kind, CLASSES["log_loss"], logits.softmax(-1), targets, weights)
    certain = torch.eye(classes)[targets.roll(1)]
    value = score(make_objective("log_loss", None, kind), certain, targets)
    assert 5 < float(value) < 17


@pytest.mark.parametrize("name", list(VALUES))
@settings(max_examples=60, deadline=None)
@given(
    data=st.lists(
        st.tuples(st.integers(-20, 20), st.integers(-20, 20), st.integers(0, 3)),
        min_size=3,
        max_size=20,
    ).filter(lambda rows: sum(row[2] > 0 for row in rows) > 1),
    unit=st.sampled_from([1.0, 1e-8, 1e6]),
)
def test_values(name: str, data: list[tuple[int, int, int]], unit: float) -> None:
    p, t, w = (torch.tensor(column, dtype=torch.float32) for column in zip(*data, strict=True))
    expected = VALUES[name](t.double().numpy(), p.double().numpy(), w.double().numpy())
    expected *= 1.0 if name == "r2" else unit
    objective = make_objective(name, None, "regression")
    got = float(score(objective, unit * p, unit * t, w))
    assert got == pytest.approx(expected, rel=1e-4, abs=1e-5 * unit if name != "r2" else 1e-5)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_leading_axes_are_models_and_weights_are_draws(name: str) -> None:
    metric = METRICS[name]
    if metric.at_once or metric.kinds[0] in ("sequence", "dense"):
        pytest.skip("for several targets: see test_members_are_scored_each_on_its_own")
    objective = make_objective(name, None, metric.kinds[0])
    generator = torch.Generator().manual_seed(5)
    if metric.kinds[0] == "regression":
        p, t = torch.randn(3, 40, generator=generator), torch.randn(40, generator=generator)
    else:
        p = torch.randn(3, 40, 2, generator=generator).softmax(-1)
        t = torch.randint(2, (40,), generator=generator)
    w = torch.randint(0, 3, (5, 40), generator=generator).float()
    together = score(objective, p, t)
    for model in range(3):
        torch.testing.assert_close(together[model], score(objective, p[model], t))
        drawn = score(objective, p[model].expand(5, *p[model].shape), t, w)
        for draw in range(5):
            torch.testing.assert_close(drawn[draw], score(objective, p[model], t, w[draw]))
    each = torch.stack([t, t.flip(0), t.roll(1)])
    own = score(objective, p, each)
    for model in range(3):
        torch.testing.assert_close(own[model], score(objective, p[model], each[model]))


@pytest.mark.parametrize("name", sorted(METRICS))
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_prediction_that_is_not_finite_gives_nan_to_its_model_only(name: str, bad: float) -> None:
    metric = METRICS[name]
    if metric.at_once or metric.kinds[0] in ("sequence", "dense"):
        pytest.skip("for several targets: see test_members_are_scored_each_on_its_own")
    objective = make_objective(name, None, metric.kinds[0])
    if metric.kinds[0] == "regression":
        p, t = torch.arange(12.0).repeat(2, 1), torch.arange(12.0).flip(0)
        p[0, 3] = bad
    else:
        p, t = torch.full((2, 12, 2), 0.5), torch.arange(12) % 2
        p[0, 3, 1] = bad
    assert score(objective, p, t).isnan().tolist() == [True, False]
    assert score(objective, p, t.expand(2, -1)).isnan().tolist() == [True, False]


def test_ranking_needs_both_classes() -> None:
    p, t = torch.full((4, 2), 0.5), torch.ones(4, dtype=torch.int64)
    assert score(make_objective("roc_auc", None, "binary"), p, t).isnan()
    assert score(make_objective("average_precision", None, "binary"), p, 0 * t).isnan()


def cost(targets: Array, predictions: Array) -> float:
    return float((predictions.argmax(1) != targets).sum())


def test_a_metric_of_the_users_own() -> None:
    objective = make_objective(cost, "minimize", "multiclass")
    assert (objective.metric, objective.direction, objective.sign) == ("cost", "minimize", -1.0)
    t = torch.tensor([0, 1, 2, 2])
    p = torch.eye(3)[torch.tensor([[0, 1, 2, 0], [1, 0, 0, 0]])]
    assert score(objective, p, t).tolist() == [1.0, 4.0]
    weights = torch.tensor([[1.0, 1.0, 1.0, 3.0], [4.0, 0.0, 0.0, 0.0]])
    assert score(objective, p[:1].expand(2, -1, -1), t, weights).tolist() == [3.0, 0.0]
    p[1, 0, 0] = torch.nan
    assert score(objective, p, t).isnan().tolist() == [False, True]


def test_a_metric_of_the_users_own_for_values() -> None:
    def worst(targets: Array, predictions: Array) -> float:
        assert targets.shape == predictions.shape == (4,)
        return float(np.abs(targets - predictions).max())

    objective = make_objective(worst, "minimize", "regression")
    t = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert score(objective, torch.stack([t, t + 2]), t).tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda t, p: 1 / 0, r"raised ZeroDivisionError: division by zero; .*\(4,\).*\(4, 2\)"),
        (lambda t, p: None, r"raised TypeError: .* must return a number"),
        (lambda t, p: "many", r"raised ValueError: .* must return a number"),
    ],
)
def test_what_a_users_metric_raises_is_named(
    function: Callable[[Array, Array], float], message: str
) -> None:
    objective = make_objective(function, "maximize", "binary")
    with pytest.raises(TaskError, match=message) as caught:
        score(objective, torch.full((4, 2), 0.5), torch.ones(4, dtype=torch.int64))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("metric", "direction", "kind", "message"),
    [
        ("roc_acu", None, "binary", "unknown metric 'roc_acu' (did you mean 'roc_auc'?); for bin"),
        (
            "rmse",
            None,
            "binary",
            "for regression or multitarget or dense_regression only: 'rmse'; for binary: accuracy, ",
        ),
        ("accuracy", None, "regression", "for regression: rmse, mae, r2"),
        ("average_precision", None, "multiclass", "for multiclass: accuracy"),
        ("rmse", "maximize", "regression", "is to minimize, got direction='maximize'"),
        (cost, None, "binary", "needs direction='maximize' or 'minimize'; got direction=None"),
        (cost, "up", "binary", "got direction='up'"),
    ],
)
def test_objectives_that_make_no_sense(
    metric: Any, direction: Any, kind: KindName, message: str
) -> None:
    with pytest.raises(TaskError) as caught:
        make_objective(metric, direction, kind)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", list(LABELS))
@pytest.mark.parametrize("seed", range(4))
def test_labels(name: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    t = generator.integers(0, 2, (30, 3))
    t[0], t[1] = 0, 1  # each label is there and not there
    p = generator.integers(1, 8, (30, 3)) / 8  # ties, and none at 0.5 of which the side is open
    p[p == 0.5] = 0.625
    w = generator.integers(1, 4, 30).astype(float)
    for one in (LABELS[name], OF_LABELS.get(name, LABELS[name])):
        _compare(name, "multilabel", one, torch.tensor(p).float(), torch.tensor(t), torch.tensor(w))


@pytest.mark.parametrize("name", list(VALUES))
@pytest.mark.parametrize("seed", range(4))
def test_several_targets(name: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    t = generator.normal(size=(30, 3)) * [1, 10, 100]
    p = t + generator.normal(size=(30, 3))
    w = generator.integers(1, 4, 30).astype(float)
    tensors = (torch.tensor(p).float(), torch.tensor(t).float(), torch.tensor(w))
    _compare(name, "multitarget", VALUES[name], *tensors)


def test_a_label_that_no_row_has_is_left_out_of_the_mean() -> None:
    t = torch.tensor([[0, 0], [1, 0], [0, 0], [1, 0]])
    p = torch.tensor([[0.1, 0.3], [0.9, 0.2], [0.4, 0.1], [0.3, 0.6]])
    objective = make_objective("roc_auc", None, "multilabel")
    assert float(score(objective, p, t)) == pytest.approx(0.75)
    assert not score(objective, p, torch.zeros_like(t)).isfinite()


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.target_axes])
def test_members_are_scored_each_on_its_own(name: KindName) -> None:
    kind, count = KINDS[name], COUNTS[name]
    targets = torch.stack([targets_of(kind, seed=seed) for seed in range(4)])
    raw = [kind.outputs(raw_of(kind, seed), count) for seed in range(4)]
    predictions = kind.predictions(torch.stack([each for each in raw if each is not None]))
    for metric in METRICS.values():
        if name in metric.kinds:
            objective = make_objective(metric.name, None, name)
            got = score(objective, predictions, targets)
            each = [score(objective, p, t) for p, t in zip(predictions, targets, strict=True)]
            torch.testing.assert_close(got, torch.stack(each))
            assert got.isfinite().all()
            one = score(objective, predictions, targets[0])
            each = [score(objective, p, targets[0]) for p in predictions]
            torch.testing.assert_close(one, torch.stack(each))
    predictions[2, 3] = torch.nan
    assert score(objective, predictions, targets).isfinite().tolist() == [True, True, False, True]


def _at_places(name: KindName) -> tuple[Tensor, Tensor, Tensor, Array, Array, Array]:
    """Predictions, targets, weights; and the same of each place with a class, as if it were a row."""
    kind, count = KINDS[name], COUNTS[name]
    targets, raw = targets_of(kind), kind.outputs(2 * raw_of(kind), count)
    assert raw is not None
    predictions = kind.predictions(raw)
    weights = torch.arange(len(targets)) % 3 + 1.0
    places = weights.view(-1, *([1] * kind.target_axes)).expand(targets.shape)
    there = targets != NOTHING
    return (
        predictions, targets, weights,
        targets[there].numpy(), predictions[there].double().numpy(), places[there].double().numpy(),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["sequence", "dense", "dense_regression"])
def test_places_count_like_rows_with_the_weight_of_theirs(kind: KindName) -> None:
    p, t, w, each_t, each_p, each_w = _at_places(kind)
    for name, metric in METRICS.items():
        if kind not in metric.kinds:
            continue
        if name == "perplexity":
            expected = math.exp(CLASSES["log_loss"](each_t, each_p, each_w))
        elif name == "mean_iou":
            expected = reference.jaccard_score(
                each_t, each_p.argmax(1), average="macro", sample_weight=each_w
            )
        else:
            expected = {**CLASSES, **VALUES}[name](each_t, each_p, each_w)
        got = float(score(make_objective(name, None, kind), p, t, w))
        assert got == pytest.approx(expected, rel=1e-5), name


def test_defaults_fit_their_kinds() -> None:
    for kind, what in KINDS.items():
        name = what.default_metric
        objective = make_objective(None, None, kind)
        assert objective.metric == name
        assert kind in METRICS[name].kinds
        assert objective.direction == METRICS[name].direction
