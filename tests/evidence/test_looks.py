"""Several looks at a growing series: shares of alpha, and one p-value that is worth its name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pawl.evidence import ALPHA, LOOKS, sequential_p, spending

SHARES = list(spending(LOOKS).values())


def two_sided(z: float) -> float:
    return float(2 * stats.norm.sf(z))


@given(st.lists(st.integers(1, 200), min_size=1, max_size=6, unique=True).map(sorted))
def test_what_is_spent_grows_with_the_square_of_the_pairs(looks: list[int]) -> None:
    shares = spending(looks)
    assert list(shares) == looks
    spent = np.cumsum(list(shares.values()))
    assert spent[-1] == pytest.approx(1.0)
    assert spent == pytest.approx([(n / looks[-1]) ** 2 for n in looks])


def test_one_look_is_held_against_its_share() -> None:
    assert sequential_p([0.001], LOOKS[:1], SHARES[:1]) == pytest.approx(0.001 / SHARES[0])
    assert sequential_p([0.9], LOOKS[:1], SHARES[:1]) == 1.0
    assert sequential_p([0.03], [7], [1.0]) == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("boundaries", "first_share"),
    [
        # Two equal stages, two-sided 5%: Jennison and Turnbull, Group Sequential Methods with
        # Applications to Clinical Trials, 2000, tables 2.1 (Pocock) and 2.3 (O'Brien and Fleming).
        ((2.178, 2.178), two_sided(2.178) / 0.05),
        ((2.797, 1.977), two_sided(2.797) / 0.05),
    ],
)
def test_the_boundaries_are_those_of_the_tables(
    boundaries: tuple[float, float], first_share: float
) -> None:
    shares = [first_share, 1.0 - first_share]
    first, last = (two_sided(z) for z in boundaries)
    assert sequential_p([1.0, last], [10, 20], shares) == pytest.approx(0.05, abs=2e-4)
    assert sequential_p([first, 1.0], [10, 20], shares) == pytest.approx(0.05, abs=2e-4)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=3), st.floats(0, 1))
def test_it_lies_between_the_smallest_p_and_bonferroni(raw: list[float], smaller: float) -> None:
    count = len(raw)
    combined = sequential_p(raw, LOOKS[:count], SHARES[:count])
    bonferroni = min(1.0, *(p / s for p, s in zip(raw, SHARES[:count], strict=True)))
    assert min(raw) * (1 - 1e-3) <= combined <= bonferroni or combined <= 1e-5
    # More evidence at the last look never weighs against.
    stronger = [*raw[:-1], raw[-1] * smaller]
    assert sequential_p(stronger, LOOKS[:count], SHARES[:count]) <= combined * (1 + 1e-3)


@pytest.mark.parametrize(("rows", "models"), [(0.0, 1.0), (0.05, 1.0), (1.0, 1.0)])
def test_its_error_is_alpha_and_not_much_less(rows: float, models: float) -> None:
    """A mean over pairs whose rows are shared and whose models are not, with no difference at all."""
    runs, pairs = 4000, np.asarray(LOOKS)
    generator = np.random.default_rng(1)
    steps = generator.normal(size=(runs, 3)) * np.sqrt(models * np.diff([0, *LOOKS]))
    means = np.sqrt(rows) * generator.normal(size=(runs, 1)) + steps.cumsum(1) / pairs
    z = means / np.sqrt(rows + models / pairs)
    raw = 2 * stats.norm.sf(np.abs(z))
    # It is never below the smallest p (see above), so most runs need no integrals.
    near = raw[raw.min(1) <= 1.01 * ALPHA]
    claims = [sequential_p(list(each), LOOKS, SHARES) <= ALPHA for each in near]
    false = np.sum(claims) / runs
    slack = 3 * np.sqrt(ALPHA * (1 - ALPHA) / runs)
    assert 0.04 - slack <= false <= ALPHA + slack
    # Bonferroni's would be about 0.04 at best, and less where looks agree.
    bonferroni = np.mean([(each / SHARES).min() <= ALPHA for each in raw])
    assert bonferroni < false
