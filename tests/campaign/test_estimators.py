"""The scikit-learn estimators, held to scikit-learn's own checks and used as its users would."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from problems import frame
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator
from torch import Tensor, nn

from pawl import PawlClassifier, PawlError, PawlRegressor, pacing
from pawl.data import ModelSpec
from pawl.estimators import EstimatorError

SHORT: dict[str, Any] = {"trials": 1, "average": 1, "executor": "inline", "only": ["dropout"]}
TOO_FEW_ROWS = (
    "check_n_features_in_after_fitting",
    "check_estimators_nan_inf",
    "check_classifier_data_not_an_array",
    "check_regressors_no_decision_function",
    "check_fit2d_1feature",
)
"""They fit 10 to 15 rows, and a campaign needs 20: fewer cannot be split and tested."""
QUICK = ("check_dict_unchanged", "check_fit_check_is_fitted")
"""The checks with a campaign that always run; the others take minutes together."""
LEARNING = ("check_classifiers_train", "check_regressors_train")
"""They ask for a good score, and so for longer trainings."""
WITHOUT_A_CAMPAIGN = (
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_estimators_unfitted",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_complex_data",
    "check_estimators_empty_data_messages",
    "check_estimator_sparse_tag",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_classifiers_one_label",
    "check_classifiers_regression_target",
    "check_supervised_y_no_nan",
    "check_parameters_default_constructible",
    "check_fit2d_1sample",
    "check_get_params_invariance",
    "check_set_params",
    "check_fit1d",
    "check_requires_y_none",
)


def checks() -> Iterator[Any]:
    """Every check of scikit-learn, for both estimators."""
    for estimator in (PawlClassifier(**SHORT), PawlRegressor(**SHORT)):
        for index, (one, check) in enumerate(estimator_checks_generator(estimator)):
            name = getattr(check, "func", check).__name__
            quick = name in (*QUICK, *WITHOUT_A_CAMPAIGN, *TOO_FEW_ROWS)
            marks = [] if quick else [pytest.mark.slow]
            yield pytest.param(
                one, check, name, marks=marks, id=f"{type(one).__name__}-{name}-{index}"
            )


@pytest.mark.parametrize(("estimator", "check", "name"), [*checks()])
def test_scikit_learns_checks(
    estimator: BaseEstimator,
    check: Callable[[BaseEstimator], None],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name in LEARNING:
        monkeypatch.setattr(pacing.sizes, "_STEPS", 300)
    expected: Any = contextlib.nullcontext()
    if name in TOO_FEW_ROWS:
        expected = pytest.raises((EstimatorError, AssertionError), match=r"20 are needed|1 feature")
    with expected:
        check(estimator.set_params(out=str(tmp_path)))


def test_a_frame_with_gaps_and_text_and_what_becomes_of_its_classifier(tmp_path: Path) -> None:
    table = frame(150)
    X, y = table.drop(columns="target"), table["target"]
    classifier = PawlClassifier(**SHORT, out=tmp_path, metric=f1_score, direction="maximize")
    indexed = X.set_index(pd.Index(np.arange(150)[::-1], name="id"))
    assert classifier.fit(indexed, y) is classifier
    assert list(classifier.classes_) == ["no", "yes"]
    assert not any("index" in note for note in classifier.result_.summary.task.notes)
    assert list(classifier.feature_names_in_) == list(X.columns)
    assert classifier.n_features_in_ == 5
    assert classifier.result_.folder.parent == tmp_path
    assert classifier.result_.report.is_file()
    assert classifier.result_.summary.metric == "f1_score"
    expected = classifier.result_.predict(X)
    assert list(classifier.predict(X)) == list(expected["prediction"])
    assert classifier.predict_proba(X)[:, 1] == pytest.approx(expected["p_yes"].to_numpy())
    assert classifier.score(X, y) == (expected["prediction"] == y).mean()
    again = pickle.loads(pickle.dumps(classifier))
    assert np.array_equal(again.predict_proba(X), classifier.predict_proba(X))
    with pytest.raises(ValueError, match="feature names should match"):
        classifier.predict(X.rename(columns={"size": "length"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert list(classifier.predict(X.to_numpy())) == list(classifier.predict(X))


@pytest.mark.parametrize(
    ("classes", "named"),
    [
        (["10", "9"], ["10", "9"]),
        (["NA", "?"], ["class 0", "class 1"]),
        ([2.0, -1.0], ["-1", "2"]),
        ([True, False], ["False", "True"]),
    ],
)
def test_classes_of_any_type_come_back(
    classes: list[Any], named: list[str], tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    which = np.arange(60) % 2
    X = which[:, None] * 4.0 + generator.normal(size=(60, 3))
    y = np.array(classes)[which]
    classifier = PawlClassifier(**SHORT, out=tmp_path).fit(X, y)
    assert list(classifier.classes_) == sorted(classes)
    assert sorted(classifier.result_.summary.task.classes) == sorted(named)
    assert classifier.score(X, y) > 0.9


def test_a_pipeline_in_cross_validation(tmp_path: Path) -> None:
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), PawlClassifier(**SHORT, out=tmp_path))
    scores = cross_val_score(pipeline, X, y, cv=2)
    assert len(scores) == 2
    assert (scores > 0.5).all()
    assert len(list(tmp_path.iterdir())) == 2


class Codes(nn.Module):
    """Takes whole numbers, as a model of text would."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.codes = nn.Embedding(8, 4)
        self.out = nn.Linear(4 * spec.num_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.codes(x).flatten(1))  # type: ignore[no-any-return]


def test_a_regressor_with_a_model_of_ones_own(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 8, (80, 3))
    y = codes[:, 0] * 2.0
    short = {**SHORT, "only": ["adamw"]}
    own = clone(PawlRegressor(**short, out=tmp_path, model=Codes, metric="mae"))
    assert own.fit(codes, y).predict(codes).shape == (80,)
    assert own.result_.summary.task.model == "Codes"
    X, y = load_diabetes(return_X_y=True)
    built = PawlRegressor(**SHORT, out=tmp_path).fit((1000 * X).astype(int), y)
    assert built.result_.summary.task.inputs == ["x [10] float32"]
    assert built.predict(X).shape == (442,)


@pytest.mark.parametrize(
    ("estimator", "X", "y", "message"),
    [
        (PawlClassifier(), np.ones((30, 2)), ["a"] * 30, "got one class, .*a.*; rows of at least"),
        (PawlClassifier(), np.eye(12), [0, 1] * 6, "got 12 row.* at least 20 are needed"),
        (PawlClassifier(metric="auk"), np.eye(30), [0, 1] * 15, "unknown metric 'auk'"),
        (PawlClassifier(trials=1.5), np.eye(30), [0, 1] * 15, "got trials=1.5"),
        (PawlClassifier(deliver="maybe"), np.eye(30), [0, 1] * 15, "deliver.*'maybe'"),
        (PawlClassifier(), pd.DataFrame({"a": range(30)}), [0, 1] * 9, "inconsistent numbers"),
        (PawlRegressor(), np.eye(30), ["a", "b"] * 15, "could not convert string|takes numbers"),
        (PawlRegressor(), pd.DataFrame(np.eye(30)), ["a", "b"] * 15, "takes numbers"),
    ],
)
def test_wrong_input_is_a_value_error_and_leaves_nothing(
    estimator: Any, X: Any, y: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        estimator.set_params(out=tmp_path).fit(X, y)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert issubclass(EstimatorError, PawlError)


def test_importing_pawl_waits_for_no_library() -> None:
    code = (
        "import sys, pawl; print([m for m in ('torch', 'sklearn', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
