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
_BETAS = {"beta1": (0.9, 0.85, 0.95), "beta2": (0.999, 0.99, 0.95)}
_DECAY = (0.01, 0.1, 0.5)
_WARMUP = (0.0, 0.1, 0.25)

ROWS = {
    row.name: row
    for row in (
        # data
        Row("balanced_sampling", _each(exponent=(0.3, 0.6, 1.0)), rejects="regression"),
        Row("batch_size", _same(size=64)),
        Row("bootstrap", _NONE),
        Row("class_weights", _each(exponent=(0.3, 0.6, 1.0)), rejects="regression"),
        Row("gradient_accumulation", _same(steps=3)),
        Row("logit_adjustment", _each(strength=(0.3, 1.0, 1.5)), rejects="regression"),
        Row("normalize", _NONE, rejects="codes"),
        Row(
            "output_clamping", _each(tail=(0.05, 0.1, 0.02)), accepts="regression", rejects="table"
        ),
        Row("pair_features", _same(count=4), rejects="own_model"),
        Row("power_transform", _NONE, rejects="codes"),
        Row("quantile_normal", _same(knots=16), rejects="codes"),
        Row("robust_scale", _NONE, rejects="codes"),
        Row("smote", _each(exponent=(0.3, 0.6, 1.0)), rejects="regression"),
        Row("standardize", _NONE, rejects="codes"),
        Row("target_encoding", _each(smoothing=(1.0, 10.0, 100.0)), rejects="own_model"),
        # model
        Row("activation", _same(function="prelu"), rejects="bare"),
        Row("attention_heads", _same(factor=4.0), accepts="attending", rejects="table"),
        Row("averaged_views", _same(views="both"), accepts="images", rejects="table"),
        Row("batch_ensemble", _same(members=2), rejects="own_model"),
        Row("batch_norm", _NONE, rejects="bare"),
        Row("blocks", _same(change=2), accepts="stack", rejects="table"),
        Row("channels_last", _NONE, accepts="images", rejects="table"),
        Row("depth", _same(layers=4), rejects="own_model"),
        Row("dilation", _same(rate=3), accepts="images", rejects="table"),
        Row("drop_connect", _each(rate=(0.05, 0.2, 0.5))),
        Row("dropout", _each(rate=(0.05, 0.2, 0.5)), rejects="bare"),
        Row("encoder", _same(kind="recurrent"), accepts="tokens", rejects="table"),
        Row("frozen_normalization", _NONE, accepts="pretrained_images", rejects="pretrained"),
        Row("from_scratch", _NONE, accepts="pretrained", rejects="table"),
        Row("freezing", _same(share=0.5), accepts="pretrained", rejects="table"),
        Row("global_pooling", _NONE, accepts="images", rejects="table"),
        Row("group_norm", _NONE, accepts="images", rejects="table"),
        Row("hidden_head", _same(units=16)),
        Row("initialization", _same(method="data_dependent"), rejects="bare"),
        Row("input_scale", _NONE, rejects="own_model"),
        Row("instance_norm", _NONE, accepts="images", rejects="table"),
        Row("layer_norm", _NONE, rejects="bare"),
        Row("layer_scale", _same(start=0.01), rejects="bare"),
        Row("linear_probe", _NONE, accepts="pretrained_images", rejects="own_images"),
        Row("low_rank_adapters", _same(rank=2), accepts="pretrained", rejects="table"),
        Row("mixed_precision", _NONE),
        Row("normalization_free", _NONE, accepts="own_images", rejects="table"),
        Row("ntk", _NONE, rejects="own_model"),
        Row("parametric_activation", _NONE, rejects="bare"),
        Row("periodic", _same(frequencies=8), rejects="own_model"),
        Row("piecewise_linear", _same(bins=8), rejects="own_model"),
        Row("pooling", _same(kind="blur"), accepts="own_images", rejects="table"),
        Row("recurrent_attention", _NONE, accepts="recurrent", rejects="table"),
        Row("residual", _NONE, rejects="own_model"),
        Row("rms_norm", _NONE, rejects="bare"),
        Row("self_attention", _same(reduction=2), accepts="images", rejects="table"),
        Row("separable", _NONE, accepts="images", rejects="table"),
        Row("shared_blocks", _NONE, accepts="stack", rejects="bare"),
        Row("squeeze_excite", _same(reduction=8), accepts="images", rejects="table"),
        Row("stochastic_depth", _each(rate=(0.05, 0.2, 0.5)), rejects="bare"),
        Row("tabm", _same(members=8), rejects="own_model"),
        Row("weight_tying", _NONE, accepts="words", rejects="table"),
        Row("width", _same(factor=0.5), rejects="bare"),
        # batch
        Row(
            "blur",
            _each(deviation=(0.5, 1.0, 2.0), probability=(0.2, 0.5, 1.0)),
            accepts="images",
            rejects="table",
        ),
        Row("brightness", _each(amount=(0.1, 0.3, 0.6)), accepts="images", rejects="table"),
        Row("contrast", _each(amount=(0.1, 0.3, 0.6)), accepts="images", rejects="table"),
        Row(
            "cutmix",
            _each(alpha=(0.5, 1.0, 2.0), probability=(0.4, 0.7, 1.0)),
            accepts="images",
            rejects="table",
        ),
        Row("flip", _each(probability=(0.1, 0.3, 0.5)), accepts="images", rejects="table"),
        Row("grayscale", _each(probability=(0.2, 0.3, 0.5)), accepts="colors", rejects="images"),
        Row("hue", _each(degrees=(5.0, 20.0, 60.0)), accepts="colors", rejects="images"),
        Row(
            "magnitude_scaling",
            _each(deviation=(0.05, 0.1, 0.4)),
            accepts="sequences",
            rejects="table",
        ),
        Row("masking", _each(probability=(0.05, 0.2, 0.5)), rejects="codes"),
        Row("mixup", _each(alpha=(0.1, 0.5, 1.5))),
        Row("noise", _each(deviation=(0.01, 0.1, 0.5)), rejects="codes"),
        Row("perspective", _each(amount=(0.1, 0.3, 0.6)), accepts="images", rejects="table"),
        Row(
            "progressive_resizing",
            _each(start=(0.5, 0.55, 0.6), until=(0.9, 0.95, 1.0)),
            accepts="any_size",
            rejects="images",
        ),
        Row("random_crop", _each(shift=(0.05, 0.15, 0.25)), accepts="images", rejects="table"),
        Row(
            "random_erasing",
            _each(area=(0.1, 0.2, 0.4), probability=(0.2, 0.5, 1.0)),
            accepts="images",
            rejects="table",
        ),
        Row("rotation", _each(degrees=(5.0, 15.0, 45.0)), accepts="images", rejects="table"),
        Row("saturation", _each(amount=(0.1, 0.3, 0.6)), accepts="colors", rejects="images"),
        Row("shear", _each(amount=(0.05, 0.2, 0.5)), accepts="images", rejects="table"),
        Row("span_masking", _each(share=(0.2, 0.4, 0.6)), accepts="sequences", rejects="table"),
        Row("swap_noise", _each(probability=(0.05, 0.2, 0.5)), rejects="codes"),
        Row("time_warp", _each(deviation=(0.1, 0.3, 0.7)), accepts="sequences", rejects="table"),
        Row("trivial_augment", _each(strength=(0.2, 0.5, 1.0)), accepts="images", rejects="table"),
        Row("zoom", _each(amount=(0.05, 0.2, 0.5)), accepts="images", rejects="table"),
        Row("token_dropout", _each(share=(0.1, 0.3, 0.6)), accepts="tokens", rejects="codes"),
        # settings
        Row(
            "settings_schedule",
            _each(
                changes=tuple(
                    ((0.1, "momentum.learning_rate", x), (0.3, "momentum.momentum", y))
                    for x, y in ((0.5, 0.8), (2.0, 1.05), (3.0, 0.5))
                )
            ),
        ),
        # loss
        Row("absolute_error", _NONE, accepts="regression", rejects="table"),
        Row("confidence_penalty", _each(strength=(0.03, 0.1, 0.5)), rejects="regression"),
        Row(
            "curriculum",
            _each(start=(0.2, 0.4, 0.6), until=(0.5, 0.7, 1.0)),
            rejects="own_loss",
        ),
        Row("focal_loss", _each(focus=(0.5, 1.0, 3.0)), rejects="regression"),
        Row("generalized_cross_entropy", _each(power=(0.1, 0.4, 1.0)), rejects="regression"),
        Row("hard_examples", _each(share=(0.3, 0.5, 0.8)), rejects="own_loss"),
        Row("huber", _each(limit=(0.1, 0.3, 1.0)), accepts="regression", rejects="table"),
        Row("l1", _each(strength=(1e-5, 1e-4, 1e-3))),
        Row("label_smoothing", _each(amount=(0.02, 0.1, 0.3)), rejects="regression"),
        Row("log_cosh", _each(scale=(0.1, 0.3, 1.0)), accepts="regression", rejects="table"),
        Row("poly_loss", _each(amount=(-0.5, 1.0, 3.0)), rejects="regression"),
        Row("trimmed_loss", _each(share=(0.05, 0.1, 0.3)), rejects="own_loss"),
        # gradient
        Row("adaptive_clipping", _each(ratio=(0.005, 0.02, 0.1))),
        Row("gradient_centralization", _NONE),
        Row("gradient_clipping", _each(norm=(0.05, 0.2, 0.4))),
        Row("gradient_noise", _each(deviation=(1e-3, 0.01, 0.1))),
        Row("sharpness_aware", _each(radius=(0.01, 0.05, 0.2))),
        Row("value_clipping", _each(limit=(1e-3, 0.01, 0.03))),
        Row("weight_decay", _each(strength=(1e-4, 1e-3, 1e-2))),
        # schedule
        Row("constant", _each(warmup=(0.02, 0.1, 0.25))),
        Row("coslog4", _each(warmup=_WARMUP)),
        Row("cosine", _each(warmup=_WARMUP)),
        Row(
            "cosine_restarts",
            _each(warmup=_WARMUP, cycles=(2.0, 3.0, 5.0), growth=(1.0, 1.5, 2.5), until=(1, 2, 0)),
        ),
        Row("exponential_decay", _each(warmup=_WARMUP, final=(0.001, 0.01, 0.3))),
        Row("flat_cosine", _each(warmup=_WARMUP, flat=(0.1, 0.5, 0.9))),
        Row("linear_decay", _each(warmup=_WARMUP)),
        Row("one_cycle", _each(warmup=(0.1, 0.25, 0.5), start=(0.01, 0.04, 0.3))),
        Row("polynomial_decay", _each(warmup=_WARMUP, power=(0.5, 1.5, 3.0))),
        Row(
            "reduce_on_plateau",
            _each(warmup=(0.02, 0.1, 0.25), factor=(0.1, 0.3, 0.6), patience=(1, 2, 4)),
        ),
        Row("step_decay", _each(warmup=_WARMUP, factor=(0.1, 0.3, 0.6), drops=(1.0, 2.0, 4.0))),
        Row("warmup_stable_decay", _each(warmup=_WARMUP, decay=(0.1, 0.2, 0.5))),
        # update
        Row("adadelta", _each(learning_rate=(0.3, 1.0, 3.0), smoothing=(0.85, 0.9, 0.95))),
        Row("adafactor", _each(learning_rate=(0.01, 0.03, 0.1), weight_decay=_DECAY)),
        Row("adagrad", _each(learning_rate=(0.003, 0.01, 0.03))),
        Row("adam", _each(learning_rate=_RATE, **_BETAS)),
        Row("adamw", _each(learning_rate=_RATE, **_BETAS, weight_decay=_DECAY)),
        Row("heavy_ball", _each(learning_rate=(0.01, 0.02, 0.04), momentum=(0.8, 0.9, 0.95))),
        Row("lamb", _each(learning_rate=_RATE, **_BETAS, weight_decay=_DECAY)),
        Row(
            "lars",
            _each(
                learning_rate=(0.05, 0.1, 0.2),
                momentum=(0.8, 0.9, 0.95),
                trust=(0.02, 0.05, 0.1),
                weight_decay=(1e-4, 1e-3, 1e-2),
            ),
        ),
        Row(
            "lion",
            _each(
                learning_rate=(2e-4, 5e-4, 1e-3),
                beta1=(0.9, 0.85, 0.95),
                beta2=(0.99, 0.98, 0.95),
                weight_decay=_DECAY,
            ),
        ),
        Row("momentum", _each(learning_rate=(0.01, 0.02, 0.04), momentum=(0.8, 0.9, 0.95))),
        Row(
            "muon",
            _each(learning_rate=_RATE, momentum=(0.9, 0.95, 0.98), weight_decay=_DECAY),
            rejects="bare",
        ),
        Row("nadam", _each(learning_rate=_RATE, **_BETAS, weight_decay=_DECAY)),
        Row("radam", _each(learning_rate=_RATE, **_BETAS, weight_decay=_DECAY)),
        Row("rmsprop", _each(learning_rate=(1e-4, 1e-3, 3e-3), smoothing=(0.9, 0.95, 0.99))),
        Row("schedule_free", _each(learning_rate=_RATE, **_BETAS, weight_decay=_DECAY)),
        Row("sgd", _each(learning_rate=(0.01, 0.05, 0.2))),
        # weights
        Row(
            "discriminative_rates",
            _each(first=(0.02, 0.1, 0.5)),
            accepts="pretrained",
            rejects="table",
        ),
        Row(
            "gradual_unfreezing",
            _each(until=(0.1, 0.3, 0.6)),
            accepts="pretrained",
            rejects="table",
        ),
        Row("l2_sp", _each(strength=(0.3, 3.0, 30.0)), accepts="pretrained", rejects="table"),
        Row("lookahead", _each(interval=(3.0, 4.0, 5.0), share=(0.3, 0.5, 0.8))),
        Row("max_norm", _each(norm=(0.5, 0.55, 0.6))),
        Row("proximal_l1", _each(strength=(0.01, 0.03, 0.1))),
        # average
        Row("ema", _each(horizon=(12.0, 50.0, 400.0))),
        Row("swa", _each(share=(0.6, 0.7, 0.75))),
        # stop
        Row("early_stopping", _each(patience=(3, 6, 9))),
        # fit
        Row("boosted_nets", _same(rounds=6, units=8), rejects="images"),
        Row("catboost", _same(rounds=20, levels=4), rejects="multitarget"),
        Row("extra_trees", _same(trees=10, leaf_rows=2), rejects="images"),
        Row("lightgbm", _same(rounds=20, leaf_rows=5), rejects="multitarget"),
        Row("linear", _same(penalty=0.5), rejects="own_loss"),
        Row("modern_nca", _same(steps=60, width=16), rejects="images"),
        Row("nearest_neighbors", _same(count=5), rejects="images"),
        Row("random_forest", _same(trees=10, feature_share=0.8), rejects="images"),
    )
}
