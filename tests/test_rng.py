"""Counter-based random numbers: even, independent, and the same under `vmap` as alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from pawl import rng

FAR_OUT = 1e-4  # p-value below which a fixed-seed check of a distribution fails


def keys(count: int, seed: int = 0) -> Tensor:
    return rng.fold(torch.arange(count, dtype=torch.int32), seed)


def even(values: np.ndarray, bins: int) -> float:
    counts = np.bincount(np.floor(values * bins).astype(int), minlength=bins)
    return float(stats.chisquare(counts).pvalue)


def test_uniform_is_even_within_a_key_and_across_keys() -> None:
    drawn = rng.uniform(keys(64), (4096,)).numpy()
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    assert even(drawn.ravel(), 256) > FAR_OUT
    assert even(drawn[:, 0], 8) > FAR_OUT
    each = [even(row, 32) for row in drawn]
    assert min(each) > FAR_OUT / len(each)
    assert abs(drawn.mean() - 0.5) < 5 / np.sqrt(12 * drawn.size)


@pytest.mark.parametrize("step", [1, 2, 1000])
def test_neighboring_keys_and_positions_are_independent(step: int) -> None:
    drawn = rng.uniform(torch.arange(512, dtype=torch.int32) * step, (512,)).numpy()
    pairs = [(drawn[:-1], drawn[1:]), (drawn[:, :-1], drawn[:, 1:])]
    for first, second in pairs:
        table = np.histogram2d(first.ravel(), second.ravel(), bins=16, range=[[0, 1]] * 2)[0]
        assert stats.chisquare(table.ravel()).pvalue > FAR_OUT
    assert np.abs(np.corrcoef(drawn) - np.eye(512)).max() < 6.5 / np.sqrt(512)


def test_keys_share_no_stretch_of_numbers() -> None:
    drawn = rng.uniform(keys(16), (4096,))
    distinct = len(torch.unique(drawn)) / drawn.numel()
    expected = 2**24 / drawn.numel() * (1 - np.exp(-drawn.numel() / 2**24))
    assert abs(distinct - expected) < 0.002


def test_fold_gives_a_new_key_for_each_number() -> None:
    one = torch.tensor(5, dtype=torch.int32)
    folded = rng.fold(one, torch.arange(100_000, dtype=torch.int32))
    assert folded.dtype == torch.int32
    assert len(torch.unique(folded)) == 100_000
    assert len(torch.unique(rng.fold(torch.arange(100_000, dtype=torch.int32), 3))) == 100_000
    for large in (0, 1, 2**31 - 1):
        assert rng.fold(one, large) == rng.fold(one, torch.tensor(large, dtype=torch.int32))


def test_normal_is_normal() -> None:
    drawn = rng.normal(keys(8), (20_000,)).numpy()
    assert np.isfinite(drawn).all()
    assert stats.kstest(drawn.ravel(), "norm").pvalue > FAR_OUT


@pytest.mark.parametrize("concentration", [0.05, 0.2, 1.0, 2.0, 8.0])
def test_gamma_and_beta_follow_their_distributions(concentration: float) -> None:
    count = 40_000
    parameters = torch.full((count,), concentration)
    gammas = rng.gamma(keys(count, 1), parameters).double().numpy()
    assert stats.kstest(gammas, stats.gamma(concentration).cdf).pvalue > FAR_OUT
    assert abs(gammas.mean() - concentration) < 5 * np.sqrt(concentration / count)
    assert abs(gammas.var() - concentration) < 0.1 * concentration
    betas = rng.beta(keys(count, 2), parameters).double().numpy()
    expected = stats.beta(concentration, concentration)
    assert ((betas >= 0) & (betas <= 1)).all()
    assert abs(betas.mean() - 0.5) < 5 * expected.std() / np.sqrt(count)
    assert abs(betas.var() - expected.var()) < 0.05 * expected.var()
    inside = betas[(betas > 1e-3) & (betas < 1 - 1e-3)]  # the tails are coarse in float32
    span = expected.cdf(1 - 1e-3) - expected.cdf(1e-3)
    cut = stats.kstest(inside, lambda x: (expected.cdf(x) - expected.cdf(1e-3)) / span)
    assert cut.pvalue > FAR_OUT


@pytest.mark.parametrize(
    "draw",
    [
        lambda key: rng.uniform(key, (7, 3)),
        lambda key: rng.normal(key, (7,)),
        lambda key: rng.fold(key, 12),
        lambda key: rng.gamma(key, torch.full_like(key, 0.7, dtype=torch.float32)),
        lambda key: rng.beta(key, torch.full_like(key, 0.7, dtype=torch.float32)),
    ],
    ids=["uniform", "normal", "fold", "gamma", "beta"],
)
def test_the_same_alone_in_a_batch_and_under_vmap(draw: Callable[[Tensor], Tensor]) -> None:
    many = keys(6)
    together = draw(many)
    torch.testing.assert_close(torch.vmap(draw)(many), together)
    torch.testing.assert_close(torch.stack([draw(key) for key in many]), together)
    torch.testing.assert_close(draw(many), together)


def test_a_permutation_is_one_and_depends_on_seed_and_epoch() -> None:
    drawn = {
        (seed, epoch): rng.permutation(seed, epoch, 50) for seed in range(4) for epoch in range(4)
    }
    for order in drawn.values():
        assert order.dtype == np.int64
        assert sorted(order) == list(range(50))
    assert len({tuple(order) for order in drawn.values()}) == len(drawn)
    assert (rng.permutation(2, 3, 50) == drawn[2, 3]).all()
    firsts = [rng.permutation(seed, 0, 8)[0] for seed in range(4000)]
    assert stats.chisquare(np.bincount(firsts, minlength=8)).pvalue > FAR_OUT


def test_seeds_depend_on_every_part_and_stay_the_same() -> None:
    parts: list[tuple[int | str, ...]] = [(), (1,), ("1", ""), (1, 2), (12,), (2, 1), ("a", 1)]
    seeds = [rng.derive_seed(*each) for each in parts]
    assert len(set(seeds)) == len(parts)
    assert all(0 <= seed < 2**31 for seed in seeds)
    # Written down: a ledger of an earlier version must be repeatable.
    assert rng.derive_seed("noise", 0) == 894811288


def test_seeding_stock_layers_gives_what_torch_gives() -> None:
    torch.manual_seed(11)
    expected = torch.rand(5)
    rng.seed_stock(11, torch.device("cpu"))
    assert torch.equal(torch.rand(5), expected)
