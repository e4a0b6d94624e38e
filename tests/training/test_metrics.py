"""Metrics are scikit-learn's, over many models at once, with weights and ties."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from torch import Tensor

from pawl.errors import TaskError
from pawl.task import Kind
from pawl.training.metrics import DEFAULT_METRICS, METRICS, make_objective, score

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


def test_every_metric_has_a_reference() -> None:
    assert {*CLASSES, *VALUES} == set(METRICS)


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


def _compare(name: str, kind: Kind, one: Reference, p: Tensor, t: Tensor, w: Tensor) -> None:
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
    kind: Kind = "binary" if classes == 2 else "multiclass"
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
    kind: Kind = "binary" if classes == 2 else "multiclass"
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
        ("rmse", None, "binary", "metric for regression only: 'rmse'; for binary: accuracy, "),
        ("accuracy", None, "regression", "for regression: rmse, mae, r2"),
        ("average_precision", None, "multiclass", "for multiclass: accuracy"),
        ("rmse", "maximize", "regression", "is to minimize, got direction='maximize'"),
        (cost, None, "binary", "needs direction='maximize' or 'minimize'; got direction=None"),
        (cost, "up", "binary", "got direction='up'"),
    ],
)
def test_objectives_that_make_no_sense(
    metric: Any, direction: Any, kind: Kind, message: str
) -> None:
    with pytest.raises(TaskError) as caught:
        make_objective(metric, direction, kind)
    assert message in str(caught.value)


def test_defaults_fit_their_kinds() -> None:
    for kind, name in DEFAULT_METRICS.items():
        objective = make_objective(None, None, kind)
        assert objective.metric == name
        assert kind in METRICS[name].kinds
        assert objective.direction == METRICS[name].direction
