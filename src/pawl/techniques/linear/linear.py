"""Ridge regression, and logistic regression with the same penalty."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray

from pawl.data.types import ModelSpec
from pawl.kinds import KINDS
from pawl.models import Affinity, Encoder, Learned, TokenBag
from pawl.techniques.learning import fewest_outputs, fits_tables, some, vectors
from pawl.techniques.record import Settings, number
from pawl.techniques.stages import Beat, FitTechnique
from pawl.techniques.values import FitRows

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

_MOST_ROWS = 100_000
"""More say little about so few numbers."""


class LinearSettings(Settings):
    """Settings of `linear`."""

    penalty: float = number(1.0, 1e-4, 1e4, "weight of the squared coefficients", log=True)


def module(spec: ModelSpec, settings: Any) -> Learned:
    """Returns a map to zero."""
    del settings
    encoder = Encoder(spec.inputs, one_hot=True, latent=False)
    return Learned(encoder, Affinity(fewest_outputs(spec)), "identity")


def fit(learned: Learned, rows: FitRows, settings: Any, seed: int, beat: Beat) -> None:
    """Solves for slopes and constants; of labels, each on its own.

    A class that no row has gets a constant by which it is at most as likely as one row in all; a label
    that all rows or none have is as sure.
    """
    del seed
    core = learned.core
    assert isinstance(core, Affinity)
    rows = some(rows, _MOST_ROWS)
    x = _features(learned.encoder, rows)
    outputs = len(core.base)
    weights = None if rows.weights is None else rows.weights.numpy()
    targets = rows.targets.numpy()
    slope, base = np.zeros((x.shape[1], outputs)), np.zeros(outputs)
    if not KINDS[rows.kind].has_classes:
        from sklearn.linear_model import Ridge  # noqa: PLC0415  (slow to import)

        ridge = Ridge(alpha=settings.penalty).fit(x, targets, sample_weight=weights)
        slope[:], base[:] = np.reshape(ridge.coef_, (outputs, -1)).T, ridge.intercept_
    elif targets.ndim == 1:
        beat()
        model = _logistic(settings.penalty, x, targets, weights)
        known = np.arange(outputs)
        if outputs > 1:
            base[np.setdiff1d(known, model.classes_)] = -np.log(len(targets) + 1.0)
            known = model.classes_ if len(model.classes_) > 2 else model.classes_[1:]
        slope[:, known], base[known] = model.coef_.T, model.intercept_
    else:
        for label in range(outputs):
            beat()
            held = targets[:, label].sum()
            if held in (0, len(targets)):
                base[label] = np.log(len(targets) + 1.0) * (1.0 if held else -1.0)
            else:
                model = _logistic(settings.penalty, x, targets[:, label], weights)
                slope[:, label], base[label] = model.coef_[0], model.intercept_[0]
    core.slope, core.base = torch.from_numpy(slope).float(), torch.from_numpy(base).float()


def _features(encoder: Encoder, rows: FitRows) -> Any:
    """Returns the rows as vectors `[R, D]`, float64; a sparse matrix where there are texts."""
    encoder.fit(rows.inputs, rows.targets)
    if not encoder.bags:
        return vectors(encoder, rows.inputs).astype(np.float64)
    parts: list[Any] = []
    for name in encoder.names:
        if name in encoder.bags:
            bag = encoder.bags[name]
            assert isinstance(bag, TokenBag)
            parts.append(bag.weighed(rows.inputs[name]))
        else:
            parts += [x.double().numpy() for x in encoder.parts(name, rows.inputs)]
    return scipy.sparse.hstack(parts, format="csr")


def _logistic(
    penalty: float, x: Any, targets: NDArray[Any], weights: NDArray[Any] | None
) -> LogisticRegression:
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  (slow to import)

    # Of texts no row has much of any token: slopes of little gradient still have far to go.
    tolerance = 1e-5 if scipy.sparse.issparse(x) else 1e-3
    model = LogisticRegression(C=1.0 / penalty, max_iter=300, tol=tolerance)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough
        return model.fit(x, targets, sample_weight=weights)


TECHNIQUE = FitTechnique(
    name="linear",
    summary="A weighted sum of numbers, categories and tokens (TF-IDF), with small weights.",
    reference="Hoerl and Kennard, Ridge Regression, Technometrics 1970",
    apply=fit,  # type: ignore[arg-type]
    module=module,
    settings=LinearSettings,
    fits=fits_tables,
    imports=("sklearn.linear_model",),
)
