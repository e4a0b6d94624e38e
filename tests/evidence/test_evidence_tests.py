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
    ALPHA,
    Comparison,
    corrected_ratio_t,
    corrected_t,
    gain_on_test,
    holm,
    non_inferior,
    sequential_p,
    spending,
)
from pawl.evidence.gain import crossed_error
from pawl.training.metrics import make_objective

LOOKS = (5, 10, 20)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_corrected_t_by_hand() -> None:
    # Mean 0.02; squared deviations 4, 0, 4, 1, 1 (1e-4) sum to 1e-3, so s^2 = 2.5e-4.
    differences = [0.04, 0.02, 0.00, 0.03, 0.01]
    got = corrected_t(differences, test_to_train=0.25)
    # (1/5 + 1/4) * 2.5e-4 = 1.125e-4, whose root is 0.0106066; t = 1.885618 with 4 degrees.
    assert got.effect == pytest.approx(0.02)
    assert got.standard_error == pytest.approx(0.0106066, rel=1e-5)
    assert (got.n, got.degrees) == (5, 4)
    assert got.p_value == pytest.approx(0.13240, abs=2e-4)
    # The 97.5% point of t with 4 degrees is 2.776445, the 95% point 2.131847.
    half = 2.776445 * 0.0106066
    assert got.interval == pytest.approx((0.02 - half, 0.02 + half), rel=1e-5)
    assert got.lower == pytest.approx(0.02 - 2.131847 * 0.0106066, rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=3, max_size=30).filter(lambda d: np.std(d) > 1e-3))
def test_without_a_correction_it_is_the_paired_t_test(differences: list[float]) -> None:
    got = corrected_t(differences, test_to_train=1e-12)
    expected = stats.ttest_1samp(differences, 0)
    assert got.p_value == pytest.approx(float(expected.pvalue), abs=1e-6)
    interval = expected.confidence_interval()
    assert got.interval == pytest.approx((interval.low, interval.high), abs=1e-6)
    wider = corrected_t(differences, test_to_train=0.25)
    assert wider.p_value >= got.p_value
    mirrored = corrected_t([-d for d in differences], test_to_train=0.25)
    assert mirrored.effect == pytest.approx(-wider.effect)
    assert mirrored.p_value == pytest.approx(wider.p_value)


def test_arms_that_do_the_same_do_not_differ() -> None:
    same = corrected_t([0.0] * 5, 0.25)
    assert (same.effect, same.interval, same.p_value) == (0.0, (0.0, 0.0), 1.0)
    assert same.lower == 0.0


@given(st.integers(2, 30), st.floats(1e-6, 1.0), st.booleans())
def test_differences_without_a_spread_are_evidence_but_never_certain(
    n: int, difference: float, noisy: bool
) -> None:
    # As a metric in steps leaves them, with and without what floating point adds.
    same = [difference * (1 + 1e-14 * (i % 3) * noisy) for i in range(n)]
    got, opposite = corrected_t(same, 0.25), corrected_t([-d for d in same], 0.25)
    assert 0 < got.p_value < 0.16  # two pairs have one degree of freedom
    assert got.interval[0] < difference < got.interval[1]
    assert opposite.p_value == pytest.approx(got.p_value)
    # Only their number counts, not their size.
    assert got.p_value == pytest.approx(corrected_t([1.0] * n, 0.25).p_value, rel=1e-6)
    more = corrected_t([*same, difference], 0.25)
    assert more.p_value < got.p_value


def test_steps_of_a_coarse_metric_do_not_raise_the_error() -> None:
    # Holdouts so small that most differences are none, or one row: no spread is a common sight.
    generator = np.random.default_rng(5)
    runs, n = 4000, 5
    share = math.sqrt(0.2)
    latent = share * generator.normal(size=(runs, 1)) + math.sqrt(0.8) * generator.normal(
        size=(runs, n)
    )
    for step in (0.5, 1.0, 2.0):
        rounded = np.round(latent / step) * step
        flat = np.ptp(rounded, axis=1) == 0
        false = [corrected_t(d, 0.25).p_value <= ALPHA for d in rounded]
        assert np.mean(false) <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
        assert flat.any()


@pytest.mark.parametrize("difference", [0.3, 0.0])
def test_one_pair_says_nothing(difference: float) -> None:
    got = corrected_t([difference], 0.25)
    assert (got.effect, got.p_value, got.n) == (difference, 1.0, 1)
    assert got.interval == (-math.inf, math.inf)
    assert not non_inferior(got, margin=10.0)


losses = st.lists(st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)), min_size=2, max_size=20)


@given(losses, st.floats(0.001, 1000))
def test_a_ratio_does_not_depend_on_the_unit(pairs: list[tuple[float, float]], unit: float) -> None:
    first, second = zip(*pairs, strict=True)
    got = corrected_ratio_t(first, second, 0.25)
    scaled = corrected_ratio_t([unit * x for x in first], [unit * x for x in second], 0.25)
    assert scaled.p_value == pytest.approx(got.p_value, rel=1e-6, abs=1e-9)
    assert scaled.effect == pytest.approx(unit * got.effect, rel=1e-6, abs=1e-6 * unit)
    low, high = got.interval
    assert low <= got.effect <= high
    assert low <= got.lower <= got.effect
    # No more can be gained than the whole loss.
    assert high <= math.exp(np.mean(np.log(second))) * (1 + 1e-9)
    # And the sign says the same the other way round.
    swapped = corrected_ratio_t(second, first, 0.25)
    assert swapped.p_value == pytest.approx(got.p_value, rel=1e-6, abs=1e-9)
    assert swapped.effect * got.effect <= 0


def test_small_differences_are_the_same_by_ratio() -> None:
    generator = np.random.default_rng(2)
    second = 50 + generator.normal(size=12)
    first = second - 0.4 + 0.3 * generator.normal(size=12)
    ratio = corrected_ratio_t(list(first), list(second), 0.25)
    plain = corrected_t(list(second - first), 0.25)
    assert ratio.effect == pytest.approx(plain.effect, rel=0.02)
    assert ratio.interval == pytest.approx(plain.interval, rel=0.05)
    assert ratio.standard_error == pytest.approx(plain.standard_error, rel=0.02)
    assert ratio.p_value == pytest.approx(plain.p_value, rel=0.2)


def test_an_arm_that_is_many_times_worse_on_every_split_is_shown_to_be() -> None:
    # Errors as unscaled inputs leave them on 600 rows: 3 to 60 times as large, on all splits.
    worse = [3011.0, 1503.0, 4629.0, 2030.0, 386.0, 947.0, 1956.0, 1207.0, 237.0, 1870.0]
    better = [84.0, 76.4, 72.6, 83.6, 68.1, 72.5, 67.8, 75.7, 66.2, 78.7]
    assert corrected_t([w - b for w, b in zip(worse, better, strict=True)], 0.25).p_value > 0.05
    got = corrected_ratio_t(better, worse, 0.25)
    assert got.p_value < 1e-3
    assert 0 < got.interval[0] < got.effect < got.interval[1] < max(worse)
    one = corrected_ratio_t(better[:1], worse[:1], 0.25)
    assert (one.p_value, one.interval[0]) == (1.0, -math.inf)


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


@given(st.lists(st.integers(1, 200), min_size=1, max_size=6, unique=True).map(sorted))
def test_spending_sums_to_one_and_rises(looks: list[int]) -> None:
    shares = spending(looks)
    assert list(shares) == looks
    assert sum(shares.values()) == pytest.approx(1.0)
    assert list(shares.values()) == sorted(shares.values())


def test_sequential_p() -> None:
    shares = list(spending(LOOKS).values())
    assert sequential_p([0.001], shares[:1]) == pytest.approx(0.001 / shares[0])
    both = sequential_p([0.2, 0.01], shares[:2])
    assert both == pytest.approx(min(0.2 / shares[0], 0.01 / shares[1]))
    assert sequential_p([0.9], shares[:1]) == 1.0
    assert sequential_p([0.03], [1.0]) == 0.03


def test_non_inferior() -> None:
    comparison = corrected_t([-0.01, 0.0, -0.02, 0.01, -0.005, 0.0], 0.25)
    bound = comparison.lower
    assert bound < comparison.effect < 0
    assert non_inferior(comparison, -bound + 1e-9)
    assert not non_inferior(comparison, -bound - 1e-9)


def resplit_differences(
    generator: np.random.Generator, campaigns: int, share: float = 0.2
) -> np.ndarray[Any, Any]:
    """Draws differences over 20 resplits as sharing rows makes them: correlated by about `share`.

    A normal effect of the rows, common to a campaign's resplits, and one of each split and seed;
    the true effect is zero.
    """
    common = generator.normal(size=(campaigns, 1)) * math.sqrt(share)
    return common + generator.normal(size=(campaigns, 20)) * math.sqrt(1 - share)


def test_the_whole_protocol_keeps_its_error_under_the_null() -> None:
    campaigns, comparisons = 600, 4
    generator = np.random.default_rng(17)
    draws = resplit_differences(generator, campaigns * comparisons)
    false, plain_false = 0, 0
    for campaign in draws.reshape(campaigns, comparisons, 20):
        adjusted = holm(
            [
                sequential_p(
                    [corrected_t(d[:n], 0.25).p_value for n in LOOKS],
                    list(spending(LOOKS).values()),
                )
                for d in campaign
            ]
        )
        false += min(adjusted) <= ALPHA
        plain_false += min(stats.ttest_1samp(campaign, 0, axis=1).pvalue) <= ALPHA
    slack = 3 * math.sqrt(ALPHA * (1 - ALPHA) / campaigns)
    assert false / campaigns <= ALPHA + slack
    assert plain_false / campaigns > 0.3  # what ignoring the shared rows and the number costs


def test_the_protocol_finds_what_is_there() -> None:
    draws = resplit_differences(np.random.default_rng(23), 100) + 3.0
    found = [
        sequential_p(
            [corrected_t(d[:n], 0.25).p_value for n in LOOKS],
            list(spending(LOOKS).values()),
        )
        <= ALPHA / 4
        for d in draws
    ]
    assert np.mean(found) > 0.9


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
        gain = gain_on_test(objective, arms[0], arms[1], targets, seed=run, draws=200).gain
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
            picked = torch.randint(rows, (200, rows), generator=generator)
            bootstrap = torch.stack([cells[:, p].mean(1) for p in picked], 1)
            error, degrees = crossed_error(cells.mean(1), bootstrap, rows)
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
        false += (
            gain_on_test(objective, p[0], p[1], targets, seed=run, draws=150).gain.p_value < 0.05
        )
    assert false / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


def test_a_gain_is_positive_whatever_the_metrics_direction() -> None:
    generator = torch.Generator().manual_seed(2)
    targets = torch.randn(300, generator=generator)
    worse = targets + torch.randn(3, 300, generator=generator)
    better = targets + 0.5 * torch.randn(3, 300, generator=generator)
    for metric in ("rmse", "mae", "r2"):
        got = gain_on_test(
            make_objective(metric, None, "regression"), worse, better, targets, seed=0
        )
        assert got.gain.effect > 0
        assert got.gain.interval[0] > 0
        assert got.gain.p_value < 1e-4
        for value, (low, high) in (got.baseline, got.final):
            assert low < high
            assert low - 0.2 < value < high + 0.2
        back = gain_on_test(
            make_objective(metric, None, "regression"), better, worse, targets, seed=0
        )
        assert back.gain.effect == pytest.approx(-got.gain.effect)


def test_a_gain_by_a_metric_of_the_users_own() -> None:
    def errors(targets: np.ndarray[Any, Any], predictions: np.ndarray[Any, Any]) -> float:
        return float((predictions.argmax(1) != targets).mean())

    generator = torch.Generator().manual_seed(4)
    targets = torch.randint(2, (150,), generator=generator)
    baseline = predictions_of(generator, targets, 0.6, 0.0, 3)
    final = predictions_of(generator, targets, 0.9, 0.0, 3)
    own = gain_on_test(
        make_objective(errors, "minimize", "binary"), baseline, final, targets, seed=1, draws=1000
    )
    ours = gain_on_test(
        make_objective("accuracy", None, "binary"), baseline, final, targets, seed=1, draws=1000
    )
    assert own.gain.effect == pytest.approx(ours.gain.effect)
    assert own.gain.standard_error == pytest.approx(ours.gain.standard_error, rel=0.3)
    assert own.final[0] == pytest.approx(1 - ours.final[0])


def test_a_gain_is_the_same_again_and_one_seed_is_enough_for_rows() -> None:
    objective = make_objective("accuracy", None, "binary")
    generator = torch.Generator().manual_seed(6)
    targets = torch.randint(2, (100,), generator=generator)
    baseline = predictions_of(generator, targets, 0.6, 0.0, 1)
    final = predictions_of(generator, targets, 0.8, 0.0, 1)
    first = gain_on_test(objective, baseline, final, targets, seed=5)
    assert first == gain_on_test(objective, baseline, final, targets, seed=5)
    assert isinstance(first.gain, Comparison)
    # With one seed the error is that of the rows: a difference of paired means.
    right = [p.argmax(-1)[0] == targets for p in (baseline, final)]
    paired = (right[1].double() - right[0].double()).std() / math.sqrt(100)
    assert first.gain.standard_error == pytest.approx(float(paired), rel=0.1)
    same = gain_on_test(objective, baseline, baseline, targets, seed=5).gain
    assert (same.effect, same.interval, same.p_value) == (0.0, (0.0, 0.0), 1.0)
