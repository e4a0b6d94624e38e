"""Gradient boosting of trees by LightGBM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from pawl.errors import TrialError
from pawl.models import Learned, Tree, Trees
from pawl.techniques.learning import encoded, fits_one_target, vectors
from pawl.techniques.record import Settings, number
from pawl.techniques.stages import Beat, FitTechnique
from pawl.techniques.trees._sums import LARGEST_SEED, module
from pawl.techniques.values import FitRows


class LightGBMSettings(Settings):
    """Settings of `lightgbm`; the names of LightGBM's own parameters are in the descriptions."""

    rounds: int = number(1000, 10, 10_000, "most trees of an output (num_boost_round)", log=True)
    learning_rate: float = number(0.04, 0.005, 0.3, "what a tree counts (learning_rate)", log=True)
    leaves: int = number(50, 2, 256, "most leaves of a tree (num_leaves)", log=True)
    leaf_rows: int = number(40, 1, 200, "fewest rows of a leaf (min_data_in_leaf)", log=True)
    row_share: float = number(0.75, 0.3, 1.0, "rows that a tree sees (bagging_fraction)")
    feature_share: float = number(1.0, 0.2, 1.0, "features that a tree sees (feature_fraction)")
    splits: Literal["best", "random"] = Field(
        "best", description="thresholds: the best of all, or of some drawn at random (extra_trees)"
    )
    l2: float = number(0.0, 0.0, 10.0, "penalty on the leaves' squares (lambda_l2)")
    patience: int = number(50, 5, 500, "rounds without a better loss after which it stops")


def fit(learned: Learned, rows: FitRows, settings: Any, seed: int, beat: Beat) -> None:
    """Boosts, and keeps the rounds with the best loss on the rows to stop by, if there are any."""
    import lightgbm  # noqa: PLC0415  (slow to import)

    core = learned.core
    assert isinstance(core, Trees)
    x, target = encoded(learned, rows)
    outputs = len(core.base)
    objective = "regression"
    if not target.is_floating_point():
        objective = "binary" if outputs == 1 else "multiclass"
    parameters = {
        "objective": objective,
        "num_class": outputs,
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.leaf_rows,
        "bagging_fraction": settings.row_share,
        "bagging_freq": 1,
        "feature_fraction": settings.feature_share,
        "extra_trees": settings.splits == "random",
        "lambda_l2": settings.l2,
        "seed": seed % LARGEST_SEED,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    weights = None if rows.weights is None else rows.weights.numpy()
    train = lightgbm.Dataset(x, target.numpy(), weight=weights, params={"verbosity": -1})
    callbacks, valid = [lambda _: beat()], []
    if rows.stopping is not None:
        inputs, wanted = rows.stopping
        others = vectors(learned.encoder, inputs)
        valid = [train.create_valid(others, wanted.numpy())]
        callbacks.append(lightgbm.early_stopping(settings.patience, verbose=False))
    booster = lightgbm.train(
        parameters, train, settings.rounds, valid, callbacks=callbacks, keep_training_booster=True
    )  # else it would be written and read once more
    text = booster.model_to_string(num_iteration=booster.best_iteration or -1)
    core.grow(trees_of(text, outputs), torch.zeros(outputs))


def refit(learned: Learned, rows: FitRows, settings: Any, seed: int, beat: Beat) -> None:
    """Boosts anew for as many rounds as the module has, on rows among which are those it stopped by."""
    core = learned.core
    assert isinstance(core, Trees)
    rounds = max(1, len(core.roots) // len(core.base))
    fit(learned, rows, settings.model_copy(update={"rounds": rounds}), seed, beat)


def trees_of(text: str, outputs: int) -> list[Tree]:
    """Returns the trees of a LightGBM model in its text format.

    Args:
        text: The model. Trees of several outputs take turns.
        outputs: `O`.

    Raises:
        TrialError: It has splits that compare otherwise than by `<=`.
    """
    blocks = text.split("\nTree=")[1:]
    return [_tree(_fields(block), i % outputs, outputs) for i, block in enumerate(blocks)]


def _fields(block: str) -> dict[str, str]:
    lines = block.split("\n\n", 1)[0].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _tree(fields: Mapping[str, str], output: int, outputs: int) -> Tree:
    """Returns a tree: inner nodes first, then leaves, which LightGBM numbers `-1, -2, ...`."""

    def array(name: str) -> NDArray[np.float64]:
        return np.array(fields.get(name, "").split(), dtype=np.float64)

    inner = int(fields["num_leaves"]) - 1
    if int(fields["num_cat"]) or (array("decision_type").astype(np.int64) & 1).any():
        raise TrialError("LightGBM split categories by sets; give it numbers")

    def children(name: str) -> NDArray[np.int64]:
        given = array(name).astype(np.int64)[:inner]
        found = np.where(given < 0, inner - 1 - given, given)
        return np.concatenate([found, np.zeros(inner + 1, dtype=np.int64)])

    value = np.zeros((2 * inner + 1, outputs))
    value[inner:, output] = array("leaf_value")
    padding = np.zeros(inner + 1)
    return Tree(
        feature=np.concatenate([array("split_feature")[:inner], padding - 1]).astype(np.int64),
        threshold=np.concatenate([array("threshold")[:inner], padding]),
        left=children("left_child"),
        right=children("right_child"),
        value=value,
    )


TECHNIQUE = FitTechnique(
    name="lightgbm",
    summary="Gradient boosting: each tree mends what those before it got wrong.",
    reference="Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree, NeurIPS 2017",
    apply=fit,  # type: ignore[arg-type]
    module=module,
    settings=LightGBMSettings,
    stops=True,
    refit=refit,  # type: ignore[arg-type]
    fits=fits_one_target,
    imports=("lightgbm",),
)
