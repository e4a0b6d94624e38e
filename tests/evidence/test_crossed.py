"""Comparisons over folds: influences, worked examples, error rates by simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from of_kinds import COUNTS, raw_of, targets_of
from sklearn.metrics import mean_absolute_error
from torch import Tensor

from pawl.evidence import (
    ALPHA,
    Comparison,
    HoldoutScore,
    crossed,
    holdout_score,
    holm,
    non_inferior,
    sequential_p,
    spending,
)
from pawl.kinds import KINDS
from pawl.task import Objective
from pawl.training.metrics import METRICS, make_objective, score

FOLDS = 5
LOOKS = (5, 10, 20)
MAE = make_objective("mae", None, "regression")


def arm(
    objective: Objective, predictions: Sequence[Tensor], targets: Tensor, folds: Sequence[Tensor]
) -> list[HoldoutScore]:
    """Judges one model per fold, all usable."""
    found = [
        holdout_score(objective, p, targets[f], f) for p, f in zip(predictions, folds, strict=True)
    ]
    assert all(each is not None for each in found)
    return [each for each in found if each is not None]


def dealt(rows: int, repeats: int, generator: torch.Generator) -> list[Tensor]:
    """Returns the folds of a repeated cross-validation."""
    found: list[Tensor] = []
    for _ in range(repeats):
        found += torch.randperm(rows, generator=generator).chunk(FOLDS)
    return found


def errors(values: Sequence[Sequence[float]]) -> list[HoldoutScore]:
    """Returns an arm whose models' absolute errors on the rows of their folds are these."""
    sizes = [len(fold) for fold in values]
    folds = torch.arange(sum(sizes)).split(sizes)
    return arm(MAE, [torch.tensor(v) for v in values], torch.zeros(sum(sizes)), folds)


@pytest.mark.parametrize("name", sorted(METRICS))
@pytest.mark.parametrize("seed", range(3))
def test_an_influence_is_what_a_row_s_weight_does(name: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    kind = METRICS[name].kinds[seed % len(METRICS[name].kinds)]
    objective = make_objective(name, None, kind)
    rows = 40
    what, count = KINDS[kind], COUNTS[kind]
    targets, raw = targets_of(what, rows, seed), what.outputs(raw_of(what, seed, rows), count)
    assert raw is not None
    good = what.made_up(targets, count, generator)[1]
    predictions = 0.5 * (what.predictions(raw) + good)
    judged = holdout_score(objective, predictions, targets, torch.arange(rows))
    assert judged is not None
    assert judged.value == pytest.approx(float(score(objective, predictions, targets)))
    assert float(judged.influence.sum()) == pytest.approx(0.0, abs=1e-9)
    step, ones = 1e-3, torch.ones(rows, dtype=torch.float64)
    for row in range(0, rows, 7):
        up, down = ones.clone(), ones.clone()
        up[row] += step
        down[row] -= step
        slope = score(objective, predictions, targets, up) - score(
            objective, predictions, targets, down
        )
        expected = float(slope) / (2 * step) * math.sqrt(rows / (rows - 1))
        assert float(judged.influence[row]) == pytest.approx(expected, abs=1e-5)


def test_by_hand() -> None:
    # Differences 3, 1, 2 and 2, 4, 3 of three rows each: means 2 and 3, sums of squares 2 each.
    first = errors([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    second = errors([[4.0, 2.0, 3.0], [3.0, 5.0, 4.0]])
    objective = Objective(
        kind="regression", metric="mae", direction="maximize"
    )  # by difference, not by ratio
    got = crossed(objective, second, first, 6)
    # Rows: (2 + 2) / (3 * 2) / 4 = 1/6; pairs: the variance 0.5 of 2 and 3 is less than the 1/3 of a
    # pair by its rows, and half of that covariance is none: the excess is 1/2 - 1/3, over two pairs.
    assert got.effect == pytest.approx(2.5)
    assert got.standard_error == pytest.approx(math.sqrt(1 / 6 + (1 / 2 - 1 / 3) / 2))
    # Degrees (1/4)^2 / ((1/6)^2 / 5 + (1/4)^2) = 0.92, which is less than there can be.
    assert (got.n, got.degrees) == (2, 1.0)


def test_arms_that_do_the_same_do_not_differ() -> None:
    same = errors([[1.0, 2.0], [3.0, 0.5], [1.0, 1.0]])
    got = crossed(MAE, same, same, 6)
    assert (got.effect, got.p_value, got.interval, got.lower) == (0.0, 1.0, (0.0, 0.0), 0.0)


@given(st.integers(2, 20), st.integers(1, 6))
def test_what_does_not_vary_is_evidence_but_never_certain(pairs: int, size: int) -> None:
    # Every row right against every row wrong: nothing varies, over rows or models.
    objective = make_objective("accuracy", None, "binary")
    folds = list(torch.arange(pairs * size).split(size))
    targets = torch.ones(pairs * size, dtype=torch.int64)
    right, wrong = torch.tensor([[0.1, 0.9]]).expand(size, 2), torch.tensor([[0.9, 0.1]])
    first = arm(objective, [right] * pairs, targets, folds)
    second = arm(objective, [wrong.expand(size, 2)] * pairs, targets, folds)
    got, opposite = (
        crossed(objective, a, b, pairs * size) for a, b in ((first, second), (second, first))
    )
    assert 0 < got.p_value < 0.13  # two pairs have one degree of freedom
    assert opposite.p_value == pytest.approx(got.p_value)
    assert got.interval[0] < 1.0 < got.interval[1]


@pytest.mark.parametrize("worse", [0.5, 0.0])
def test_one_pair_says_nothing(worse: float) -> None:
    got = crossed(MAE, errors([[1.0, 2.0, 3.0]]), errors([[1.0 + worse, 2.0, 3.0]]), 3)
    assert (got.p_value, got.n) == (1.0, 1)
    assert got.interval[0] == -math.inf
    assert not non_inferior(got, margin=10.0)
    assert crossed(MAE, [], [], 3).p_value == 1.0


values = st.lists(
    st.lists(st.floats(0.0625, 128, width=32), min_size=4, max_size=4), min_size=3, max_size=8
)


@settings(max_examples=50, deadline=None)
@given(values, st.integers(0, 2**31), st.floats(0.125, 8, width=32))
def test_losses_are_compared_whatever_their_unit(
    second: list[list[float]], seed: int, unit: float
) -> None:
    factors = np.random.default_rng(seed).uniform(0.3, 1.5, (len(second), 4))
    first = (np.array(second) * factors).tolist()
    rows = 4 * len(second)
    got = crossed(MAE, errors(first), errors(second), rows)
    scaled = crossed(
        MAE,
        errors([[unit * v for v in fold] for fold in first]),
        errors([[unit * v for v in fold] for fold in second]),
        rows,
    )
    assert scaled.p_value == pytest.approx(got.p_value, rel=1e-2, abs=1e-6)
    mean = float(np.mean(second))
    assert got.effect == pytest.approx(mean - float(np.mean(first)), rel=1e-4, abs=1e-5 * mean)
    low, high = got.interval
    assert low <= got.effect <= high <= mean * (1 + 1e-6)  # no more to gain than the whole loss
    assert low <= got.lower <= got.effect
    swapped = crossed(MAE, errors(second), errors(first), rows)
    assert swapped.p_value == pytest.approx(got.p_value, rel=1e-6, abs=1e-9)


def test_an_arm_that_is_many_times_worse_on_every_split_is_shown_to_be() -> None:
    generator = np.random.default_rng(0)
    scales = [3011.0, 1503.0, 4629.0, 2030.0, 386.0, 947.0, 1956.0, 1207.0, 237.0, 1870.0]
    worse = errors([list(s * generator.lognormal(0, 1, 30)) for s in scales])
    better = errors([list(75.0 * generator.lognormal(0, 1, 30)) for _ in scales])
    got = crossed(MAE, better, worse, 300)
    assert got.p_value < 1e-3
    assert 0 < got.interval[0] < got.effect < got.interval[1]


def test_a_metric_of_the_user_s_has_about_the_error_of_the_same_metric_built_in() -> None:
    own = Objective(
        kind="regression", metric="mine", direction="minimize", function=mean_absolute_error
    )
    generator = torch.Generator().manual_seed(1)
    rows = 400
    targets = torch.randn(rows, generator=generator)
    folds = dealt(rows, 2, generator)
    arms = [
        [targets[f] + s * torch.randn(len(f), generator=generator) for f in folds] for s in (1, 1.2)
    ]
    built_in, mine = (
        crossed(o, *(arm(o, each, targets, folds) for each in arms), rows) for o in (MAE, own)
    )
    assert mine.effect == pytest.approx(built_in.effect)
    assert mine.standard_error == pytest.approx(built_in.standard_error, rel=0.3)


def test_non_inferior() -> None:
    generator = np.random.default_rng(4)
    second = [list(1 + generator.random(20)) for _ in range(5)]
    first = [[v + 0.05 * generator.random() for v in fold] for fold in second]
    comparison = crossed(MAE, errors(first), errors(second), 100)
    bound = comparison.lower
    assert bound < comparison.effect < 0
    assert non_inferior(comparison, -bound + 1e-9)
    assert not non_inferior(comparison, -bound - 1e-9)


def campaign(
    generator: torch.Generator, *, by_rows: float, by_models: float, gain: float = 0.0
) -> list[Comparison]:
    """Compares two arms after 5, 10 and 20 pairs whose rows and models differ by chance alone.

    Which arm a row suits, and by how much, stays the same for all models.
    """
    rows = 150
    suits = by_rows * torch.randn(rows, generator=generator)
    folds = dealt(rows, LOOKS[-1] // FOLDS, generator)
    arms: list[list[Tensor]] = [[], []]
    for fold in folds:
        for side, predictions in zip((1, -1), arms, strict=True):
            own = by_models * torch.randn(1, generator=generator)
            noise = 0.3 * torch.randn(len(fold), generator=generator)
            worse = gain if side < 0 else 0.0
            predictions.append(10 + worse + side * suits[fold] + own + noise)
    targets = torch.zeros(rows)
    first, second = (arm(MAE, each, targets, folds) for each in arms)
    return [crossed(MAE, first[:n], second[:n], rows) for n in LOOKS]


KINDS_OF_CHANCE = pytest.mark.parametrize(
    ("by_rows", "by_models"), [(1.0, 0.0), (1.0, 0.2), (0.3, 1.0)], ids=["rows", "both", "models"]
)


@KINDS_OF_CHANCE
def test_each_look_keeps_its_error_where_rows_and_models_vary(
    by_rows: float, by_models: float
) -> None:
    generator = torch.Generator().manual_seed(3)
    runs = 400
    found = [campaign(generator, by_rows=by_rows, by_models=by_models) for _ in range(runs)]
    slack = 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
    for look in range(len(LOOKS)):
        false = np.mean([each[look].p_value <= ALPHA for each in found])
        assert false <= ALPHA + slack
    # With many pairs the error that is stated is about the one there is.
    off = [each[-1].effect / each[-1].standard_error for each in found]
    assert 0.75 < float(np.std(off)) < 1.25


@KINDS_OF_CHANCE
def test_the_whole_protocol_keeps_its_error_and_finds_what_is_there(
    by_rows: float, by_models: float
) -> None:
    generator = torch.Generator().manual_seed(4)
    shares = list(spending(LOOKS).values())

    def adjusted(gain: float) -> list[float]:
        arms = [
            campaign(generator, by_rows=by_rows, by_models=by_models, gain=gain) for _ in range(3)
        ]
        return holm(
            [sequential_p([look.p_value for look in looks], LOOKS, shares) for looks in arms]
        )

    runs = 120
    false = np.mean([min(adjusted(0.0)) <= ALPHA for _ in range(runs)])
    assert false <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
    found = [max(adjusted(2.0)) <= ALPHA for _ in range(30)]
    assert np.mean(found) > 0.9
