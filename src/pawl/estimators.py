"""Campaigns as scikit-learn estimators.

Shape legend: `R` rows, `F` features, `C` classes, `T` targets.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import (
    assert_all_finite,
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from pawl.api import optimize
from pawl.data import read_like
from pawl.data.cells import MISSING, number_name
from pawl.deployment.export import run, session
from pawl.deployment.predictions import unshifted
from pawl.errors import BudgetError, PawlError
from pawl.kinds import KINDS, KindName
from pawl.ledger import new_folder
from pawl.recipe import Recipe
from pawl.task import LossFunction, MetricFunction, ModelFactory, Task

_IS_MATRIX = 2


class EstimatorError(PawlError, ValueError):
    """What an estimator was given is wrong: a `ValueError`, as scikit-learn's tools expect."""


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share; `PawlClassifier` says what the parameters mean."""

    def __init__(
        self,
        *,
        budget: str | float | None = None,
        trials: int | None = None,
        metric: str | MetricFunction | None = None,
        direction: str | None = None,
        model: ModelFactory | None = None,
        loss: LossFunction | None = None,
        baseline: Recipe | str | Path | None = None,
        only: Iterable[str] | None = None,
        epochs: int | None = None,
        device: str | None = None,
        executor: str | None = None,
        families: Iterable[str] | None = None,
        ensemble: str | None = None,
        average: int | None = None,
        seed: int | None = None,
        out: str | Path | None = None,
        deliver: str | None = None,
    ) -> None:
        self.budget = budget
        self.trials = trials
        self.metric = metric
        self.direction = direction
        self.model = model
        self.loss = loss
        self.baseline = baseline
        self.only = only
        self.epochs = epochs
        self.device = device
        self.executor = executor
        self.families = families
        self.ensemble = ensemble
        self.average = average
        self.seed = seed
        self.out = out
        self.deliver = deliver

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.non_deterministic = self.trials is None
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_session", None)  # ONNX Runtime's; it is opened anew from the graph
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_graph" in state:
            self._session = session(self._graph)

    def _checked(self, X: Any, y: Any, **checks: Any) -> tuple[Any, Any, str]:
        """Returns inputs as pawl takes them, targets `[R]` or `[R, T]`, and what to call these."""
        name = "target" if getattr(y, "name", None) is None else str(y.name)
        if not isinstance(X, pd.DataFrame):
            X, y = validate_data(
                self, X, y, allow_nd=True, ensure_min_samples=2, multi_output=True, **checks
            )
            y = _flat(y)
            self._columns = None
            return self._as_floats(X), y, name
        validate_data(self, X, y, skip_check_array=True)
        y = _flat(check_array(y, ensure_2d=False, dtype=None, ensure_all_finite=False))
        assert_all_finite(y, input_name="y")
        check_consistent_length(X, y)
        self._columns = list(X.columns)
        while name in map(str, self._columns):
            name += "_"
        return X.reset_index(drop=True), y, name  # an index is no feature in scikit-learn

    def _as_floats(self, X: np.ndarray) -> np.ndarray:
        # Whole numbers are features like others; only a model of the user's own may want codes.
        as_they_are = self.model is not None or X.ndim != _IS_MATRIX
        return X if as_they_are else X.astype(np.float32)

    def _fit(self, X: Any, targets: pd.Series[Any] | pd.DataFrame, kind: KindName) -> None:
        task = Task(
            data=(X, targets),
            kind=kind,
            metric=self.metric,
            direction=self.direction,  # type: ignore[arg-type]
            model=self.model,
            loss=self.loss,
            name=type(self).__name__,
        )
        options = {
            name: getattr(self, name)
            for name in ("budget", "trials", "baseline", "only", "epochs", "device", "executor",
                         "families", "ensemble", "average", "seed", "deliver")
        }  # fmt: skip
        try:
            with new_folder(type(self).__name__, self.out or "runs") as folder:
                self.result_ = optimize(task, out=folder, **options)
        except PawlError as error:
            if isinstance(error, BudgetError):
                raise
            raise EstimatorError(str(error)) from error
        bundle = self.result_.bundle()
        self._schema = bundle.schema
        self._graph = (bundle.folder / "model.onnx").read_bytes()
        self._session = session(self._graph)
        self._shift = bundle.task.get("shift")

    def _predictions(self, X: Any) -> np.ndarray:
        """Returns predictions `[R, *P]` (`pawl.kinds`) in the schema's order, float64."""
        check_is_fitted(self, "result_")
        if self._columns is None:
            X = self._as_floats(validate_data(self, X, reset=False, allow_nd=True))
        elif isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=False, skip_check_array=True)
        else:
            checks = {"dtype": None, "ensure_all_finite": "allow-nan"}
            X = pd.DataFrame(validate_data(self, X, reset=False, **checks), columns=self._columns)
        try:
            examples = read_like(self._schema, X)
        except PawlError as error:
            raise EstimatorError(str(error)) from error
        return run(self._session, examples).astype(np.float64)


class PawlClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A campaign that finds a classifier, for scikit-learn's pipelines and cross-validation.

    `fit` runs `pawl.optimize` on its rows, a fifth of which are kept for the final claim, and
    predicts with the bundle.

        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True, as_frame=True)
        >>> classifier = pawl.PawlClassifier(trials=4, out="runs")
        >>> classifier.fit(X, y).predict_proba(X).shape
        (150, 3)
        >>> print(classifier.result_.report)

    `X` is an array `[R, F]` of finite numbers, an array of more axes (images `[R, channels, height,
    width]`), or a data frame, whose columns may hold gaps, text, categories and dates. At least 20 rows,
    and five of each class, are needed.

    Args:
        budget: Seconds for `fit`, or text such as `"10m"`; 10 minutes by default.
        trials: Number of search trials in place of a budget: nothing then depends on the clock.
        metric: A built-in metric's name (see `pawl.training.metrics.METRICS`) or a function of
            targets (class numbers, in the order of `classes_` unless these are numbers written as
            text) and predictions; see `pawl.task.MetricFunction`.
        direction: `maximize` or `minimize`: needed with a metric function.
        model: What builds a PyTorch module, `model()` or `model(spec)`; pawl builds one by default.
        loss: `loss(outputs, targets)`; cross-entropy or squared error by default.
        baseline: The recipe to start from and to beat, or its TOML file.
        only: Names of the techniques that the search may bring in or vary; all by default.
        epochs: Most passes of a training over its rows; by their number by default.
        device: `auto`, `cpu` or `cuda`; `auto` by default.
        executor: `auto`, `inline` or `processes`; `auto` by default.
        average: Most models whose mean is predicted, from 1 to 10; 5 by default.
        seed: Decides splits, seeds and samples, from 0; 0 by default.
        out: Folder in which each `fit` leaves a folder of its own, with report, bundle and ledger;
            `runs` by default.
        deliver: `likely`, the default: the recipe that is more likely better predicts; or `proven`: the
            baseline, unless one is shown to be better.

    Attributes:
        result_: The campaign's `pawl.Result`.
        classes_: The classes, sorted, `[C]`; of labels their numbers, `[T]`.
        n_features_in_: Number of features.
        feature_names_in_: Names of a data frame's columns.
    """

    classes_: np.ndarray
    _order: list[int] | None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Runs a campaign.

        Args:
            X: Inputs, one row each.
            y: Classes of any type, `[R]`; or labels, 0 and 1, `[R, T]`.

        Raises:
            ValueError: Wrong input, in one line (a `PawlError` too).
            BudgetError: No result within the budget.
        """
        X, y, name = self._checked(X, y)
        check_classification_targets(y)
        if y.ndim == _IS_MATRIX:
            return self._fit_labels(X, y, name)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise EstimatorError(
                f"got one class, {classes[0]!r}; rows of at least two classes are needed"
            )
        names = _class_names(classes)
        targets = pd.Series(np.array(names, dtype=object)[codes], name=name).astype("category")
        self._fit(X, targets, "binary" if len(classes) == 2 else "multiclass")
        order = {name: place for place, name in enumerate(self._schema.classes)}
        self._order = [order[name] for name in names]
        self.classes_ = classes
        return self

    def _fit_labels(self, X: Any, y: np.ndarray, name: str) -> Self:
        got = type_of_target(y)
        if got != "multilabel-indicator":
            raise EstimatorError(
                f"got targets of the shape {list(y.shape)} ({got}); of several targets each must be a "
                "label, 0 or 1"
            )
        self._fit(X, _columns_of(y.astype(np.float32), name), "multilabel")
        self._order = None
        self.classes_ = np.arange(y.shape[1])
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Returns each row's class, `[R]`; of labels 0 and 1, `[R, T]`.

        It is the most probable one, or of two goes by the threshold that `metric` is best with.
        """
        p = self._predictions(X)
        if self._order is None:
            return KINDS["multilabel"].labels(p)
        return np.asarray(self.classes_[p[:, self._order].argmax(axis=1)])

    def predict_proba(self, X: Any) -> np.ndarray:
        """Returns probabilities `[R, C]` in the order of `classes_`; of labels of each, `[R, T]`."""
        p = self._predictions(X)
        if self._order is None:
            return p
        p = (unshifted(p, self._shift) if self._shift else p)[:, self._order]
        return np.asarray(p / p.sum(axis=1, keepdims=True))


class PawlRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A campaign that finds a regressor; parameters and inputs are those of `PawlClassifier`.

        >>> from sklearn.datasets import load_diabetes
        >>> from sklearn.model_selection import cross_val_score
        >>> X, y = load_diabetes(return_X_y=True)
        >>> cross_val_score(pawl.PawlRegressor(budget="1m", metric="mae"), X, y, cv=3)

    Attributes:
        result_: The campaign's `pawl.Result`.
        n_features_in_: Number of features.
        feature_names_in_: Names of a data frame's columns.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Runs a campaign.

        Args:
            X: Inputs, one row each.
            y: Finite numbers, `[R]`, or several a row, `[R, T]`.

        Raises:
            ValueError: Wrong input, in one line (a `PawlError` too).
            BudgetError: No result within the budget.
        """
        X, y, name = self._checked(X, y, y_numeric=True)
        try:
            values = np.asarray(y, dtype=np.float64)
        except (TypeError, ValueError):
            raise EstimatorError(
                f"got targets of dtype {y.dtype}; a regression takes numbers; use PawlClassifier"
            ) from None
        if values.ndim == _IS_MATRIX:
            self._fit(X, _columns_of(values, name), "multitarget")
        else:
            self._fit(X, pd.Series(values, name=name), "regression")
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Returns a value for each row, `[R]`, or its values, `[R, T]`."""
        return self._predictions(X)


def _flat(y: np.ndarray) -> np.ndarray:
    """Returns targets as a vector where there is one a row, with scikit-learn's warning."""
    several = y.ndim == _IS_MATRIX and y.shape[1] > 1
    return y if several else np.asarray(column_or_1d(y, warn=True))


def _columns_of(y: np.ndarray, name: str) -> pd.DataFrame:
    return pd.DataFrame(y, columns=[f"{name}_{place}" for place in range(y.shape[1])])


def _class_names(classes: np.ndarray) -> list[str]:
    """Returns what reports call the classes; numbered where they cannot be told apart as text."""
    is_number = classes.dtype.kind in "iuf"
    names = [number_name(float(c)) if is_number else str(c).strip() for c in classes]
    if len(set(names)) == len(names) and not MISSING.intersection(names):
        return names
    return [f"class {place}" for place in range(len(names))]


__all__ = ["EstimatorError", "PawlClassifier", "PawlRegressor"]
