"""One row per technique: what the conformance suite tries it with.

A technique that joins needs a row here and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """What to try a technique with.

    Attributes:
        name: The technique.
        settings: One per member; they differ in every memberwise setting and agree in all others.
        accepts: A kind of problem (see `tests/problems.py`) that it must fit.
        rejects: One that it must not fit, or `None` if it fits everything.
    """

    name: str
    settings: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
    accepts: str = "table"
    rejects: str | None = None


def _each(**values: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    one, two, three = ({name: each[i] for name, each in values.items()} for i in range(3))
    return one, two, three


_NONE: tuple[Any, Any, Any] = ({}, {}, {})


def _same(**values: Any) -> tuple[Any, Any, Any]:
    return values, values, values


_RATE = (0.001, 0.003, 0.01)
_WARMUP = (0.0, 0.1, 0.25)

ROWS = {
    row.name: row
    for row in (
        # data
        Row("batch_size", _same(size=64)),
        Row("normalize", _NONE, rejects="codes"),
        Row("robust_scale", _NONE, rejects="codes"),
        Row("standardize", _NONE, rejects="codes"),
        # model
        Row("activation", _same(function="prelu"), rejects="bare"),
        Row("batch_norm", _NONE, rejects="bare"),
        Row("depth", _same(layers=4), rejects="own_model"),
        Row("dropout", _each(rate=(0.05, 0.2, 0.5)), rejects="bare"),
        Row("encoder", _same(kind="recurrent"), accepts="tokens", rejects="table"),
        Row("group_norm", _NONE, accepts="images", rejects="table"),
        Row("initialization", _same(method="orthogonal"), rejects="bare"),
        Row("input_scale", _NONE, rejects="own_model"),
        Row("layer_norm", _NONE, rejects="bare"),
        Row("mixed_precision", _NONE),
        Row("parametric_activation", _NONE, rejects="bare"),
        Row("periodic", _same(frequencies=8), rejects="own_model"),
        Row("piecewise_linear", _same(bins=8), rejects="own_model"),
        Row("residual", _NONE, rejects="own_model"),
        Row("squeeze_excite", _same(reduction=8), accepts="images", rejects="table"),
        Row("tabm", _same(members=8), rejects="own_model"),
        Row("width", _same(factor=0.5), rejects="own_model"),
        # batch
        Row("flip", _each(probability=(0.1, 0.3, 0.5)), accepts="images", rejects="table"),
        Row("mixup", _each(alpha=(0.1, 0.5, 1.5))),
        Row("noise", _each(deviation=(0.01, 0.1, 0.5)), rejects="codes"),
        Row("random_crop", _each(shift=(0.05, 0.15, 0.25)), accepts="images", rejects="table"),
        Row("token_dropout", _each(share=(0.1, 0.3, 0.6)), accepts="tokens", rejects="codes"),
        # loss
        Row("l1", _each(strength=(1e-5, 1e-4, 1e-3))),
        Row("label_smoothing", _each(amount=(0.02, 0.1, 0.3)), rejects="regression"),
        # gradient
        Row("gradient_clipping", _each(norm=(0.05, 0.2, 0.4))),
        Row("weight_decay", _each(strength=(1e-4, 1e-3, 1e-2))),
        # schedule
        Row("constant", _each(warmup=(0.02, 0.1, 0.25))),
        Row("coslog4", _each(warmup=_WARMUP)),
        Row("cosine", _each(warmup=_WARMUP)),
        Row("exponential_decay", _each(warmup=_WARMUP, final=(0.001, 0.01, 0.3))),
        Row("flat_cosine", _each(warmup=_WARMUP, flat=(0.1, 0.5, 0.9))),
        Row("one_cycle", _each(warmup=(0.1, 0.25, 0.5), start=(0.01, 0.04, 0.3))),
        Row("step_decay", _each(warmup=_WARMUP, factor=(0.1, 0.3, 0.6), drops=(1.0, 2.0, 4.0))),
        # update
        Row(
            "adam",
            _each(learning_rate=_RATE, beta1=(0.9, 0.85, 0.95), beta2=(0.999, 0.99, 0.95)),
        ),
        Row(
            "adamw",
            _each(
                learning_rate=_RATE,
                beta1=(0.9, 0.85, 0.95),
                beta2=(0.999, 0.99, 0.95),
                weight_decay=(0.01, 0.1, 0.5),
            ),
        ),
        Row("momentum", _each(learning_rate=(0.01, 0.02, 0.04), momentum=(0.8, 0.9, 0.95))),
        Row("rmsprop", _each(learning_rate=(1e-4, 1e-3, 3e-3), smoothing=(0.9, 0.95, 0.99))),
        Row("sgd", _each(learning_rate=(0.01, 0.05, 0.2))),
        # average
        Row("ema", _each(horizon=(12.0, 50.0, 400.0))),
        # stop
        Row("early_stopping", _each(patience=(3, 6, 9))),
        # fit
        Row("catboost", _same(rounds=20, levels=4), rejects="multitarget"),
        Row("extra_trees", _same(trees=10, leaf_rows=2), rejects="images"),
        Row("lightgbm", _same(rounds=20, leaf_rows=5), rejects="multitarget"),
        Row("linear", _same(penalty=0.5), rejects="own_loss"),
        Row("nearest_neighbors", _same(count=5), rejects="images"),
        Row("random_forest", _same(trees=10, feature_share=0.8), rejects="images"),
    )
}
