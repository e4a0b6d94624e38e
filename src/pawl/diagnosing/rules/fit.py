"""Rules on what is learned: too much of single rows, too little of all."""

from __future__ import annotations

import math

from pawl.diagnosing.facts import DataFacts
from pawl.diagnosing.finding import Finding
from pawl.diagnosing.record import Training
from pawl.diagnosing.rules.gains import LIKELY, gained, learns_more, strength

_LOST, _LEARNED = 0.75, 0.2
_RISEN = 0.25
_OF_TREES, _TREES_LEARN = 0.75, 0.1
_SIGNAL = 0.1
_WEIGHTS_PER_ROW = 100.0
_WIDEST = 3.0
"""The largest factor of `width`."""
_REGULARIZERS = ("dropout", "weight_decay", "ema", "label_smoothing", "mixup")


def overfitting(run: Training, data: DataFacts) -> Finding | None:
    """Three quarters of what is learned of the training rows, or more, do not hold for others.

    As few other rows may be hard ones by chance, it is the least gap that is likely which counts.
    """
    del data
    gap = _gap(run)
    if gap is None or gap < _LOST:
        return None
    at = run.at_kept
    return Finding(
        rule="overfitting",
        severity="warning",
        evidence="of what a constant loses, the model explains "
        f"{run.explained(at.train_loss):.0%} on the rows that it trained on and "
        f"{max(-9.99, run.explained(at.valid_loss)):.0%} on others",
        strength=gap / _LOST,
        suggests=_REGULARIZERS
        if "early_stopping" in run.techniques
        else ("early_stopping", *_REGULARIZERS),
        advice="more rows, or a smaller model",
    )


def trained_too_long(run: Training, data: DataFacts) -> Finding | None:
    """The loss on other rows rose again, and nothing stops the training or keeps its best weights."""
    del data
    known = [each for each in run.readings if math.isfinite(each.valid_loss)]
    if "early_stopping" in run.techniques or not run.whole or len(known) < 3:
        return None
    best = min(known, key=lambda each: each.valid_loss)
    risen = (run.last.valid_loss - best.valid_loss) / run.reference
    if run.explained(best.valid_loss) < _LEARNED / 4 or not risen >= _RISEN:
        return None
    return Finding(
        rule="trained_too_long",
        severity="warning",
        evidence=f"the loss on rows that do not train was least at step {best.step:,} of "
        f"{run.last.step:,}, and rose by {risen:.0%} of what a constant loses since",
        strength=risen / _RISEN,
        suggests=("early_stopping", *_REGULARIZERS),
    )


def underfitting(run: Training, data: DataFacts) -> Finding | None:
    """Boosted trees with plain settings explain far more of the same data, and not by chance."""
    if data.trees is None or data.trees < _TREES_LEARN or not run.whole:
        return None
    at = run.at_kept
    mine, train = run.explained(at.valid_loss), run.explained(at.train_loss)
    likely = run.explained(at.valid_floor)
    if not math.isfinite(mine) or not math.isfinite(run.constant_loss):
        return None
    # What comes near at another rate does not lack size.
    best = max(likely, *(run.explained(rival.valid_loss) for rival in run.rivals), -math.inf)
    if best > _OF_TREES * data.trees or train > data.trees:
        return None
    return Finding(
        rule="underfitting",
        severity="warning",
        evidence=f"of what a constant loses, the model explains {max(mine, 0.0):.0%} on rows that did "
        f"not train and {max(train, 0.0):.0%} on those that did; boosted trees explain "
        f"{data.trees:.0%} out of fold",
        strength=min(100.0, _OF_TREES * data.trees / max(mine, 1e-9)),
        suggests=("width", "depth", "piecewise_linear", "periodic", "residual"),
        advice="a longer training",
    )


def model_too_small(run: Training, data: DataFacts) -> Finding | None:
    """A model with a narrow layer that loses more of other rows than a wider one, trained as long."""
    del data
    wider = run.trial("width")
    if wider is None or not learns_more(run, wider):
        return None
    units = min(unit.units for unit in run.first.units)
    return Finding(
        rule="model_too_small",
        severity="warning",
        evidence=f"a layer has {units} unit(s), and with layers {wider.value:g} times as wide "
        f"{wider.step:,} steps lose {gained(run, wider.gain)}",
        strength=strength(run, wider.gain, LIKELY),
        suggests=("width", "depth"),
        tries={"factor": _WIDEST},
    )


def weak_signal(run: Training, data: DataFacts) -> Finding | None:
    """Neither the model nor boosted trees explain a tenth of what a constant loses."""
    if data.trees is None or not run.whole or not math.isfinite(run.constant_loss):
        return None
    mine = max(run.explained(reading.valid_loss) for reading in run.readings)
    most = max(data.trees, mine)
    if most >= _SIGNAL:
        return None
    return Finding(
        rule="weak_signal",
        severity="warning",
        evidence="of what a constant loses, boosted trees explain "
        f"{max(data.trees, 0.0):.1%} out of fold, and the model {max(mine, 0.0):.1%} at best on rows "
        "that did not train: what is predicted is mostly noise, or hangs on what no column says",
        strength=min(100.0, _SIGNAL / max(most, 1e-9)),
        suggests=("label_smoothing", "generalized_cross_entropy", "weight_decay"),
        advice="check the labels, or add columns that tell of the target",
    )


def model_too_large(run: Training, data: DataFacts) -> Finding | None:
    """Many weights for each row, and a model that overfits."""
    del data
    gap, share = _gap(run), run.parameters / max(1, run.rows)
    if gap is None or gap < _LOST or share < _WEIGHTS_PER_ROW:
        return None
    return Finding(
        rule="model_too_large",
        severity="info",
        evidence=f"the model has {run.parameters:,} weights for {run.rows:,} rows that train it, "
        f"{share:,.0f} for each, and overfits",
        strength=share / _WEIGHTS_PER_ROW,
        suggests=("width", "dropout", "weight_decay", "drop_connect"),
        advice="a smaller model, or more rows",
    )


def _gap(run: Training) -> float | None:
    """Returns the least share of what is learned of training rows that is likely not there on others."""
    if not run.readings or run.status not in ("completed", "stopped"):
        return None
    at = run.at_kept
    train, valid = run.explained(at.train_loss), run.explained(at.valid_floor)
    if train < _LEARNED or not math.isfinite(at.valid_loss):
        return None
    return (train - valid) / train


RULES = (
    overfitting,
    trained_too_long,
    underfitting,
    model_too_small,
    weak_signal,
    model_too_large,
)
