"""Stacking with a boosted model: trees correct a weighted mean, given what each model predicts.

Shape legend: `M` models, `F` passes over the folds, `R` rows, `P` the shape of a row's prediction, `C`
classes, `Q` columns that trees see.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pawl.ensembling.out_of_fold import OutOfFold
from pawl.evidence import Arm, Blend, Stacked
from pawl.kinds import KINDS
from pawl.models import Corrected, Tree
from pawl.techniques.trees.lightgbm import trees_of

_ROUNDS = (10, 25, 50)
"""Numbers of trees that are tried."""
_LEAVES, _RATE, _PENALTY = 6, 0.05, 1.0
_LEAF_SHARE, _FEWEST_LEAF_ROWS = 0.02, 10
_FOLDS, _FEWEST_ROWS = 5, 200
_PARTS = 4
"""Of the rows, on each of which trees must help."""
_LEAST = 1e-6


def corrected(found: OutOfFold, blend: Arm) -> Arm:
    """Returns a blend with boosted trees that correct it, where they help rows they were not fitted on.

    Wolpert, Stacked Generalization, Neural Networks 1992. The trees start from the blend, so that they
    learn only what it lacks. They are fitted on some folds' rows and judged on the others': where that
    score is not better than the blend's own on each quarter of the rows, the blend is returned.

    Args:
        found: Out-of-fold predictions of all its recipes.
        blend: Whose shares are kept.
    """
    kind = KINDS[found.pairs.session.problem.schema.kind]
    rows = found.targets.shape[1]
    several = isinstance(blend, Blend) and len(blend.recipes) > 1 and not blend.is_adjusted
    if not several or kind.target_axes or kind.has_places or rows < _FEWEST_ROWS:
        return blend
    assert isinstance(blend, Blend)
    each = torch.stack([found.predictions[found.recipes.index(r)] for r in blend.recipes])
    classes = each.shape[-1] if kind.has_classes else 0
    units, targets = found.units.flatten(), found.targets.flatten()
    flat = each.reshape(len(each), -1, classes) if classes else each.flatten(1)
    group = _groups(units)
    held: dict[int, Tensor] = {n: torch.zeros_like(flat[0]) for n in _ROUNDS}
    for fold in range(_FOLDS):
        mine = group == fold
        grown = fitted(flat[:, ~mine], targets[~mine], blend.shares, classes, max(_ROUNDS))
        for rounds, predictions in held.items():
            part = _with(blend.shares, classes, grown[: rounds * _outputs(classes)])
            predictions[mine] = part(flat[:, mine])
    best = min(held, key=lambda n: float(found.loss(held[n].reshape(each.shape[1:]))))
    others, plain = held[best].reshape(each.shape[1:]), found.of_arm(blend)
    for start in range(_PARTS):
        some = slice(start, None, _PARTS)
        judge = found.at(some)
        if not float(judge.score(others[:, some])) > float(judge.score(plain[:, some])):
            return blend
    grown = fitted(flat, targets, blend.shares, classes, best)
    text = _with(blend.shares, classes, grown).written()
    return Stacked(blend.recipes, blend.shares, classes, text)


def fitted(
    each: Tensor, targets: Tensor, shares: tuple[float, ...], classes: int, rounds: int
) -> list[Tree]:
    """Returns boosted trees that correct a weighted mean, a round's together.

    Args:
        each: What models predict of rows, `[M, R]` or `[M, R, C]`.
        targets: `[R]`.
        shares: Of the models in the mean.
        classes: `C`; 0 for values.
        rounds: How many.
    """
    import lightgbm  # noqa: PLC0415  (slow to import)

    fresh = Corrected(shares, classes)
    x = fresh.features(each).numpy()
    mean = fresh(each)
    outputs = _outputs(classes)
    label: NDArray[np.float64] = targets.double().numpy()
    start: NDArray[np.float64] | None = None
    if classes:
        likely = mean.double().clamp(_LEAST, 1.0)
        raw = likely.log()
        start = (raw[:, 1] - raw[:, 0] if outputs == 1 else raw).numpy()
    else:
        label = label - mean.double().numpy()
    objective = "regression" if not classes else "binary" if outputs == 1 else "multiclass"
    parameters = {
        "objective": objective,
        "num_class": outputs,
        "learning_rate": _RATE,
        "num_leaves": _LEAVES,
        "min_data_in_leaf": max(_FEWEST_LEAF_ROWS, int(_LEAF_SHARE * len(x))),
        "lambda_l2": _PENALTY,
        "boost_from_average": False,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "seed": 0,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(x, label, init_score=start, params={"verbosity": -1})
    booster = lightgbm.train(parameters, data, rounds)
    grown = trees_of(booster.model_to_string(), outputs)
    return [_of_two(tree) for tree in grown] if classes == 2 else grown


def _outputs(classes: int) -> int:
    """Returns how many trees a round has."""
    return classes if classes > 2 else 1


def _of_two(tree: Tree) -> Tree:
    """Returns a tree of the logit of two classes as one of both."""
    value = np.concatenate([np.zeros_like(tree.value), tree.value], axis=1)
    return Tree(tree.feature, tree.threshold, tree.left, tree.right, value)


def _with(shares: tuple[float, ...], classes: int, trees: list[Tree]) -> Corrected:
    found = Corrected(shares, classes)
    if trees:
        found.trees.grow(trees, torch.zeros(max(1, classes)))
    return found


def _groups(units: Tensor) -> Tensor:
    """Returns which fold of the cross-fit each row is in; of a unit all are in one."""
    distinct, place = torch.unique(units, return_inverse=True)
    mixed = torch.randperm(len(distinct), generator=torch.Generator().manual_seed(0))
    return mixed[place] % _FOLDS
