"""What a difference is worth: worked examples, properties, and error rates by simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from pawl.evidence import (
    Comparison,
    gain_on_test,
    holm,
)
from pawl.evidence.crossed import crossed_parts
from pawl.training.metrics import make_objective

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(p_values, st.randoms(use_true_random=False))
def test_holm(raw: list[float], chance: Any) -> None:
    adjusted = holm(raw)
    assert all(a >= p for a, p in zip(adjusted, raw, strict=True))
    assert all(0 <= a <= 1 for a in adjusted)
    order = sorted(range(len(raw)), key=lambda i: raw[i])
    rising = [adjusted[i] for i in order]
    assert rising == sorted(rising)
    assert adjusted[order[0]] == pytest.approx(min(1.0, len(raw) * raw[order[0]]))
    shuffled = list(range(len(raw)))
    chance.shuffle(shuffled)
    again = holm([raw[i] for i in shuffled])
    assert again == pytest.approx([adjusted[i] for i in shuffled])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def predictions_of(
    generator: torch.Generator, targets: Tensor, rate: float, spread: float, seeds: int
) -> Tensor:
    """Draws `[S, R, 2]` predictions that are right with about `rate`, which varies over seeds."""
    rates = rate + spread * torch.randn(seeds, 1, generator=generator)
    right = torch.rand(seeds, len(targets), generator=generator) < rates
    chosen = torch.where(right, targets, 1 - targets)
    return torch.nn.functional.one_hot(chosen, 2).float()


@pytest.mark.parametrize(
    ("spread", "noise"), [(0.0, 1.0), (0.1, 0.3), (0.3, 0.1)], ids=["by rows", "both", "by seeds"]
)
def test_the_gains_interval_covers_the_true_gain(spread: float, noise: float) -> None:
    """Rows are hard or easy for all models, a seed shifts all rows, and noise is a seed's on a row."""
    objective = make_objective("accuracy", None, "binary")
    seeds, rows, runs, covered, width = 5, 250, 240, 0, 0.0
    scale = math.sqrt(1 + spread**2 + noise**2)
    truth = float(stats.norm.cdf(0.9 / scale) - stats.norm.cdf(0.7 / scale))
    for run in range(runs):
        generator = torch.Generator().manual_seed(run)
        targets = torch.randint(2, (rows,), generator=generator)
        ease = torch.randn(rows, generator=generator)
        arms = []
        for skill in (0.7, 0.9):
            shift = spread * torch.randn(seeds, 1, generator=generator)
            margin = skill + ease + shift + noise * torch.randn(seeds, rows, generator=generator)
            chosen = torch.where(margin > 0, targets, 1 - targets)
            arms.append(torch.nn.functional.one_hot(chosen, 2).float())
        gain = gain_on_test(objective, arms[0], arms[1], targets).gain
        assert gain.n == seeds
        covered += gain.interval[0] <= truth <= gain.interval[1]
        width += gain.interval[1] - gain.interval[0]
    deviation = math.sqrt(0.95 * 0.05 / runs)
    assert 0.95 - 3 * deviation <= covered / runs <= 0.95 + 2.5 * deviation


def test_a_gains_parts_are_told_apart() -> None:
    """Rows, seeds and both together, each of known variance, are added once each."""
    generator = torch.Generator().manual_seed(3)
    seeds, rows, runs = 6, 400, 60
    for of_rows, of_seeds, of_both in ((1.0, 0.0, 1.0), (0.0, 0.1, 1.0), (1.0, 0.05, 0.5)):
        known = of_rows / rows + of_seeds / seeds + of_both / (rows * seeds)
        estimates = []
        for _ in range(runs):
            cells = (
                of_rows**0.5 * torch.randn(1, rows, generator=generator)
                + of_seeds**0.5 * torch.randn(seeds, 1, generator=generator)
                + of_both**0.5 * torch.randn(seeds, rows, generator=generator)
            )
            mean = cells.mean(1, keepdim=True)
            shares = ((cells - mean) / rows).double()
            error, degrees = crossed_parts(0.0, mean.flatten().double(), shares, rows).error(seeds)
            estimates.append(error**2)
            assert 1 <= degrees <= rows + seeds
        assert np.mean(estimates) == pytest.approx(known, rel=0.25)


def test_no_gain_is_seldom_called_one() -> None:
    objective = make_objective("roc_auc", None, "binary")
    runs, false = 200, 0
    for run in range(runs):
        generator = torch.Generator().manual_seed(1000 + run)
        targets = torch.arange(200) % 2
        score = targets + 1.5 * torch.randn(2, 3, 200, generator=generator)
        p = torch.stack([-score, score], -1).softmax(-1)
        false += gain_on_test(objective, p[0], p[1], targets).gain.p_value < 0.05
    assert false / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


def test_a_gain_is_positive_whatever_the_metrics_direction() -> None:
    generator = torch.Generator().manual_seed(2)
    targets = torch.randn(300, generator=generator)
    worse = targets + torch.randn(3, 300, generator=generator)
    better = targets + 0.5 * torch.randn(3, 300, generator=generator)
    for metric in ("rmse", "mae", "r2"):
        got = gain_on_test(make_objective(metric, None, "regression"), worse, better, targets)
        assert got.gain.effect > 0
        assert got.gain.interval[0] > 0
        assert got.gain.p_value < 1e-4
        for value, (low, high) in (got.baseline, got.final):
            assert low < high
            assert low - 0.2 < value < high + 0.2
        back = gain_on_test(make_objective(metric, None, "regression"), better, worse, targets)
        assert back.gain.effect == pytest.approx(-got.gain.effect)


def test_a_gain_by_a_metric_of_the_users_own() -> None:
    def hits(targets: np.ndarray[Any, Any], predictions: np.ndarray[Any, Any]) -> float:
        return float((predictions.argmax(1) == targets).mean())

    generator = torch.Generator().manual_seed(4)
    targets = torch.randint(2, (150,), generator=generator)
    baseline = predictions_of(generator, targets, 0.6, 0.0, 3)
    final = predictions_of(generator, targets, 0.9, 0.0, 3)
    own = gain_on_test(make_objective(hits, "maximize", "binary"), baseline, final, targets)
    ours = gain_on_test(make_objective("accuracy", None, "binary"), baseline, final, targets)
    assert own.gain.effect == pytest.approx(ours.gain.effect)
    assert own.gain.standard_error == pytest.approx(ours.gain.standard_error, rel=0.3)
    assert own.final[0] == pytest.approx(ours.final[0])
    assert own.final[1] == pytest.approx(ours.final[1], abs=0.02)


def test_a_gain_is_the_same_again_and_one_seed_is_enough_for_rows() -> None:
    objective = make_objective("accuracy", None, "binary")
    generator = torch.Generator().manual_seed(6)
    targets = torch.randint(2, (100,), generator=generator)
    baseline = predictions_of(generator, targets, 0.6, 0.0, 1)
    final = predictions_of(generator, targets, 0.8, 0.0, 1)
    first = gain_on_test(objective, baseline, final, targets)
    assert first == gain_on_test(objective, baseline, final, targets)
    assert isinstance(first.gain, Comparison)
    # With one seed the error is that of the rows: a difference of paired means.
    right = [p.argmax(-1)[0] == targets for p in (baseline, final)]
    paired = (right[1].double() - right[0].double()).std() / math.sqrt(100)
    assert first.gain.standard_error == pytest.approx(float(paired), rel=0.1)
    same = gain_on_test(objective, baseline, baseline, targets).gain
    assert (same.effect, same.interval, same.p_value) == (0.0, (0.0, 0.0), 1.0)
