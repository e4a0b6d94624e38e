"""What boosted trees say of rows that they did not learn: a bar for networks, and a look at labels.

Shape legend: `R` rows, `C` classes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pawl.data.types import Examples
from pawl.diagnosing.facts import ClearRows

_FEWEST_ROWS, _MOST_ROWS, _MOST_VALUES = 200, 4000, 300
_FOLDS = 3
_TREES, _FEWEST_ROUNDS, _MOST_ROUNDS = 900, 30, 100
_STOPS = (0.1, 0.2, 0.4, 1.0)
_DRAWN, _DISTANCES = 4000, np.geomspace(0.02, 60.0, 60)
_SMALLEST = 1e-6

Floats = NDArray[np.float64]


def by_trees(
    examples: Examples, targets: NDArray[Any], *, classes: bool
) -> tuple[ClearRows | None, float | None]:
    """Returns how clear labels are (of classes), and what share of the constant's loss trees explain.

    Both are `None` where rows are too few, or too wide.

    Args:
        examples: The rows; gaps are fine.
        targets: `[R]`, class numbers or values.
        classes: Whether they are classes.
    """
    width = sum(math.prod(x.shape[1:]) for x in examples.inputs.values())
    if len(examples) < _FEWEST_ROWS or width > _MOST_VALUES:
        return None, None
    chosen = np.random.default_rng(0).permutation(len(examples))[:_MOST_ROWS]
    inputs = examples.take(torch.from_numpy(chosen)).inputs
    flat = [x.reshape(len(x), -1).double().cpu().numpy() for x in inputs.values()]
    x, y = np.concatenate(flat, axis=1), targets[chosen]
    if classes:
        names, y = np.unique(y, return_inverse=True)
        if len(names) < 2 or np.bincount(y).min() < _FOLDS:
            return None, None
        said, loss = _out_of_fold(x, y.astype(np.float64), len(names))
        clear = _clear(said, y)
        shares = np.bincount(y) / len(y)
        constant = float(-(shares * np.log(shares)).sum())
        return clear, 1.0 - loss / constant
    values = y.astype(np.float64)
    if not values.std() > 0:
        return None, None
    return None, 1.0 - _out_of_fold(x, values, 0)[1] / float(values.var())


def _out_of_fold(x: Floats, y: Floats, classes: int) -> tuple[Floats, float]:
    """Returns what trees say of rows that they did not learn, and its loss.

    Probabilities `[R, C]` and their log loss, or values `[R, 1]` and their squared error; after as many
    rounds as do best, as many of them learn noise by heart.
    """
    import lightgbm  # noqa: PLC0415

    settings: dict[str, Any] = {
        "objective": "multiclass" if classes > 2 else "binary" if classes else "regression",
        "num_leaves": 31, "min_data_in_leaf": 20 if len(x) >= 1000 else 10,
        "learning_rate": 0.08, "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 1.0,
        "num_threads": 1, "seed": 0, "deterministic": True, "verbose": -1,
    }  # fmt: skip
    if classes > 2:
        settings["num_class"] = classes
    rounds = max(_FEWEST_ROUNDS, min(_MOST_ROUNDS, _TREES // (_FOLDS * max(1, classes))))
    stops = [round(part * rounds) for part in _STOPS]
    said = np.zeros((len(stops), len(x), max(1, classes)))
    fold = np.arange(len(x)) % _FOLDS
    for held in range(_FOLDS):
        rows = lightgbm.Dataset(x[fold != held], y[fold != held], params={"verbose": -1})
        trees = lightgbm.train(settings, rows, rounds)
        for place, stop in enumerate(stops):
            found = np.asarray(trees.predict(x[fold == held], num_iteration=stop))
            if classes == 2:
                found = np.stack([1.0 - found, found], axis=1)
            said[place, fold == held] = found.reshape(-1, said.shape[2])
    if classes:
        said = said.clip(_SMALLEST, None)
        losses = -np.log(said[:, np.arange(len(y)), y.astype(np.int64)]).mean(1)
    else:
        losses = ((said[:, :, 0] - y) ** 2).mean(1)
    best = int(losses.argmin())
    return said[best], float(losses[best])


def _clear(said: Floats, y: NDArray[np.int64]) -> ClearRows:
    """Returns how often labels are unlike what is said of them, among the clearest rows and in all."""
    order = np.argsort(-said.max(1), kind="stable")
    wrong = (said.argmax(1) != y)[order].astype(np.float64)
    tenth = math.ceil(len(y) / 10)
    chance = 1.0 - float(np.bincount(y).max()) / len(y)
    usual = np.array([said[y == label, label].mean() for label in range(said.shape[1])])
    skill = 1.0 - float(wrong.mean()) / chance if chance > 0 else 0.0
    others = said - usual
    others[np.arange(len(y)), y] = -np.inf
    suspects = (others.max(1) >= 0) & (said[np.arange(len(y)), y] < usual[y])
    suspects &= said.argmax(1) != y
    return ClearRows(
        rows=len(y),
        clearest=float(wrong[:tenth].mean()),
        next=float(wrong[tenth : 3 * tenth].mean()),
        skill=skill,
        graded=_graded(skill, np.bincount(y) / len(y)),
        suspects=int(suspects.sum()),
    )


def _graded(skill: float, shares: Floats) -> float:
    """Returns how often the clearest tenth is wrong where right labels are as hard as the skill says.

    Each row has a normal deviate for each class, times a distance; classes are drawn by their softmax,
    shares as they are. With the distance at which the best predictions have this skill, the errors among
    the tenth that is clearest follow.
    """
    drawn = np.random.default_rng(0).normal(size=(_DRAWN, len(shares)))
    chance, skills, errors = 1.0 - float(shares.max()), [], []
    for distance in _DISTANCES:
        raw = distance * drawn + np.log(shares)
        odds = np.exp(raw - raw.max(1, keepdims=True))
        wrong = np.sort(1.0 - odds.max(1) / odds.sum(1))
        skills.append(1.0 - float(wrong.mean()) / chance)
        errors.append(float(wrong[: _DRAWN // 10].mean()))
    return float(np.interp(skill, skills, errors))
