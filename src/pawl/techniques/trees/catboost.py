"""Gradient boosting of trees by CatBoost, where it is installed."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pawl.models import Learned, Tree, Trees
from pawl.techniques.learning import encoded, fits_one_target, vectors
from pawl.techniques.record import Facts, Settings, number
from pawl.techniques.stages import Beat, FitTechnique
from pawl.techniques.trees._sums import LARGEST_SEED, module
from pawl.techniques.values import FitRows

_NEVER = -30.0
"""The logit of a class without training rows."""


class CatBoostSettings(Settings):
    """Settings of `catboost`; the names of CatBoost's own parameters are in the descriptions."""

    rounds: int = number(1000, 10, 10_000, "most trees (iterations)", log=True)
    learning_rate: float = number(0.06, 0.005, 0.3, "what a tree counts (learning_rate)", log=True)
    levels: int = number(6, 1, 10, "levels of a tree, each with one question (depth)")
    l2: float = number(3.0, 0.0, 30.0, "penalty on the leaves' squares (l2_leaf_reg)")
    randomness: float = number(1.0, 0.0, 10.0, "of the choice of splits (random_strength)")
    row_share: float = number(0.8, 0.3, 1.0, "rows that a tree sees (subsample)")
    patience: int = number(50, 5, 500, "rounds without a better loss after which it stops")


class _Watcher:
    """Beats after each tree; what that raises ends the fit, and is kept."""

    def __init__(self, beat: Beat) -> None:
        self._beat = beat
        self.raised: BaseException | None = None

    def after_iteration(self, info: object) -> bool:
        """Tells whether to go on; CatBoost's own code must not be left by an exception."""
        del info
        try:
            self._beat()
        except BaseException as error:
            self.raised = error
        return self.raised is None


def fit(learned: Learned, rows: FitRows, settings: Any, seed: int, beat: Beat) -> None:
    """Boosts, and keeps the rounds with the best loss on the rows to stop by, if there are any."""
    import catboost  # noqa: PLC0415  (slow to import, and optional)

    core = learned.core
    assert isinstance(core, Trees)
    x, target = encoded(learned, rows)
    outputs = len(core.base)
    loss, known = "RMSE", np.arange(outputs)
    if not target.is_floating_point():
        loss = "Logloss" if outputs == 1 else "MultiClass"
        if outputs > 1:
            known = np.unique(target.numpy())
    weights = None if rows.weights is None else rows.weights.numpy()
    stopping = None
    if rows.stopping is not None:
        inputs, wanted = rows.stopping
        there = np.isin(wanted.numpy(), known) if loss == "MultiClass" else slice(None)
        stopping = catboost.Pool(
            vectors(learned.encoder, inputs)[there], label=wanted.numpy()[there]
        )
    model = catboost.CatBoost(
        {
            "loss_function": loss,
            "iterations": settings.rounds,
            "learning_rate": settings.learning_rate,
            "depth": settings.levels,
            "l2_leaf_reg": settings.l2,
            "random_strength": settings.randomness,
            "bootstrap_type": "Bernoulli",
            "subsample": settings.row_share,
            "random_seed": seed % LARGEST_SEED,
            "thread_count": 1,
            "logging_level": "Silent",
            "allow_writing_files": False,
        }
    )
    watcher = _Watcher(beat)
    model.fit(
        catboost.Pool(x, label=target.numpy(), weight=weights), eval_set=stopping,
        early_stopping_rounds=settings.patience if stopping is not None else None,
        use_best_model=stopping is not None, callbacks=[watcher],
    )  # fmt: skip
    if watcher.raised is not None:
        raise watcher.raised
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        trees, base = trees_of(json.loads(path.read_text()), known, outputs)
    core.grow(trees, torch.from_numpy(base))


def refit(learned: Learned, rows: FitRows, settings: Any, seed: int, beat: Beat) -> None:
    """Boosts anew for as many rounds as the module has, on rows among which are those it stopped by."""
    core = learned.core
    assert isinstance(core, Trees)
    rounds = max(1, len(core.roots))
    fit(learned, rows, settings.model_copy(update={"rounds": rounds}), seed, beat)


def trees_of(
    model: Mapping[str, Any], known: NDArray[np.int64], outputs: int
) -> tuple[list[Tree], NDArray[np.float64]]:
    """Returns the trees of a CatBoost model in its JSON format, and what to add to their sum, `[O]`.

    Args:
        model: As `save_model(format="json")` writes it.
        known: The outputs that the model has, in order; others had no training rows.
        outputs: `O`.
    """
    scale, bias = model["scale_and_bias"]
    base = np.full(outputs, _NEVER)
    base[known] = bias
    return [_tree(each, scale, known, outputs) for each in model["oblivious_trees"]], base


def _tree(given: Mapping[str, Any], scale: float, known: NDArray[np.int64], outputs: int) -> Tree:
    """Returns a tree each of whose levels asks one question, as one of nodes: the last split first.

    CatBoost numbers leaves by their answers: bit `i` is that of split `i`, set where a number is above.
    """
    splits = given["splits"]
    depth, count = len(splits), 2 ** len(splits)
    node = np.arange(2 * count - 1)
    level = np.floor(np.log2(node + 1)).astype(np.int64)
    inner = level < depth
    asked = depth - 1 - level[inner]
    feature, threshold = np.full(len(node), -1), np.zeros(len(node))
    feature[inner] = np.array([s["float_feature_index"] for s in splits], dtype=np.int64)[asked]
    threshold[inner] = np.array([s["border"] for s in splits], dtype=np.float64)[asked]
    value = np.zeros((len(node), outputs))
    leaves = np.array(given["leaf_values"], dtype=np.float64).reshape(count, -1) * scale
    value[np.ix_(np.flatnonzero(~inner), known)] = leaves
    return Tree(
        feature=feature,
        threshold=threshold,
        left=np.where(inner, 2 * node + 1, 0),
        right=np.where(inner, 2 * node + 2, 0),
        value=value,
    )


def is_there(facts: Facts) -> str | None:
    """Refuses where CatBoost is not installed, and what has several targets."""
    if importlib.util.find_spec("catboost") is None:
        return "CatBoost is not installed; pip install 'pawl[catboost]'"
    return fits_one_target(facts)


TECHNIQUE = FitTechnique(
    name="catboost",
    summary="Gradient boosting of trees that ask one question a level (needs the extra catboost).",
    reference="Prokhorenkova et al., CatBoost: unbiased boosting with categorical features, 2018",
    apply=fit,  # type: ignore[arg-type]
    module=module,
    settings=CatBoostSettings,
    stops=True,
    refit=refit,  # type: ignore[arg-type]
    fits=is_there,
    imports=("catboost",),
)
