"""Permutation importance: known values, intervals that hold them, and groups."""

from __future__ import annotations

import numpy as np
import pytest
from explained import probabilities, rows_of, subject_of

from pawl.explaining.effort import Effort
from pawl.explaining.importance import Measured, importance
from pawl.explaining.result import FeatureImportance, Importance
from pawl.training.metrics import make_objective

WEIGHTS = np.array([2.0, 1.0, 0.0])
ALWAYS = Effort()


def linear(rows: int, seed: int, *, noise: float = 0.5) -> Importance:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 3))
    y = x @ WEIGHTS + noise * generator.normal(size=rows)
    subject = subject_of("abc", lambda x: x @ WEIGHTS)
    objective = make_objective("rmse", None, "regression")
    return importance(subject, rows_of(x, y=y), objective, seed=seed, effort=ALWAYS)


def named(found: Importance) -> dict[str, FeatureImportance]:
    return {each.name: each for each in found.features}


def test_an_unused_column_has_none_and_others_have_what_they_are_worth() -> None:
    found = linear(1000, 0)
    assert [each.name for each in found.features] == ["a", "b", "c"]
    by_name = named(found)
    assert by_name["c"].value == 0
    assert by_name["c"].interval[0] <= 0 <= by_name["c"].interval[1]
    # The mean squared error grows by twice the variance of what is permuted.
    for name, weight in (("a", 2.0), ("b", 1.0)):
        expected = np.sqrt(0.25 + 2 * weight**2) - 0.5
        assert by_name[name].value == pytest.approx(expected, abs=0.1)
        assert by_name[name].interval[0] > 0
    assert found.groups == []
    assert all(check.passed for check in found.checks)


def test_intervals_hold_what_is_true_of_all_rows() -> None:
    true = np.sqrt(0.25 + 8.0) - 0.5
    ends = [named(linear(150, seed))["a"].interval for seed in range(60)]
    held = [low <= true <= high for low, high in ends]
    assert np.mean(held) >= 0.88


def test_intervals_are_about_as_wide_as_estimates_vary() -> None:
    values = [named(linear(150, seed))["a"] for seed in range(60)]
    spread = np.std([each.value for each in values])
    half = np.mean([each.interval[1] - each.value for each in values])
    assert 1.6 * spread < half < 3.0 * spread


def test_columns_that_say_the_same_are_permuted_together() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(400, 3))
    x[:, 1] = np.exp(x[:, 0])  # the same ranks
    codes = np.where(x[:, :1] > 0.5, 1, np.where(x[:, :1] > -0.5, 3, 2))
    y = (x[:, 0] + 0.3 * generator.normal(size=400) > 0).astype(np.int64)

    def function(x: np.ndarray) -> np.ndarray:
        shown = x[:, 0] + np.log(x[:, 1]) + 0.2 * (x[:, 3] == 1)
        return probabilities(1 / (1 + np.exp(-2 * shown)))

    subject = subject_of("abcD", function, "binary")
    objective = make_objective("roc_auc", None, "binary")
    found = importance(subject, rows_of(x, codes, y), objective, seed=0, effort=ALWAYS)
    (group,) = found.groups
    assert group.features == ["a", "b", "D"]
    assert group.name == "a + b + D"
    assert group.value > 1.5 * max(each.value for each in found.features)
    assert named(found)["c"].value == 0


def test_the_same_seed_gives_the_same_and_an_end_leaves_two_permutations() -> None:
    assert linear(100, 3) == linear(100, 3)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(100, 2))
    subject = subject_of("ab", lambda x: x[:, 0])
    objective = make_objective("mae", None, "regression")
    found = importance(
        subject, rows_of(x, y=x[:, 0]), objective, seed=0, effort=Effort(deadline=0.0)
    )
    assert found.permutations == 2


@pytest.mark.parametrize("which", ["a", "e"])
def test_intervals_of_few_permutations_are_as_wide_as_estimates_vary(which: str) -> None:
    """Of main effects (`a`), and of what only pairs have (`e`): there parts vary twice as much."""

    def one(seed: int) -> tuple[float, float]:
        generator = np.random.default_rng(seed)
        rows, permutations = 200, 4
        main = generator.normal(size=rows) if which == "a" else np.zeros(rows)
        pairs, parts, losses = [], [], []
        for _ in range(permutations):
            order = generator.permutation(rows)
            own = (main + main[order] + 1e-9) if which == "a" else generator.normal(size=rows)
            losses.append(own.mean())
            lost = (own - own.mean()) / rows
            part = lost.copy()
            np.add.at(part, order, lost)
            pairs.append(lost)
            parts.append(part)
        measured = Measured(np.array(losses), np.array(pairs), np.array(parts))
        value, (low, high) = measured.estimate()
        return value, (high - low) / 2 / 1.972

    found = np.array([one(seed) for seed in range(300)])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.12)
