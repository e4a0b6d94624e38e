"""What boosted trees say of labels, and values far out: made-up rows of known answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from pawl.data.types import Examples
from pawl.diagnosing.measuring import _beyond, _extreme
from pawl.diagnosing.reference import _graded, by_trees

EVEN = np.array([0.5, 0.5])


def digits(wrong: float) -> tuple[Examples, np.ndarray]:
    random = np.random.default_rng(0)
    known = load_digits(n_class=4)
    targets = known.target.copy()
    flipped = random.random(len(targets)) < wrong
    targets[flipped] = random.integers(0, 4, flipped.sum())
    x = torch.tensor(known.data, dtype=torch.float32)
    return Examples(inputs={"x": x}, targets=torch.tensor(targets)), targets


@pytest.mark.parametrize(("wrong", "told"), [(0.0, False), (0.3, True)])
def test_wrong_labels_are_wrong_of_the_clearest_rows_and_hard_rows_are_not(
    wrong: float, told: bool
) -> None:
    clear, explained = by_trees(*digits(wrong), classes=True)
    assert clear is not None
    assert explained is not None
    assert clear.graded < 0.05
    assert (clear.clearest > 0.1) == told
    assert explained < 0.9 if told else explained > 0.9


def test_noise_is_not_learned_by_heart() -> None:
    random = np.random.default_rng(1)
    x = torch.tensor(random.normal(size=(600, 10)), dtype=torch.float32)
    targets = random.normal(size=600)
    examples = Examples(inputs={"x": x}, targets=torch.tensor(targets))
    _, explained = by_trees(examples, targets, classes=False)
    assert explained is not None
    assert -0.05 < explained < 0.05


def test_the_clearest_of_hard_rows_are_wrong_as_often_as_skill_says() -> None:
    # Of two classes, accuracy 1/2 + atan(d) / pi for a normal deviate times d: near chance at 0.
    assert _graded(0.0, EVEN) > 0.4
    assert _graded(0.99, EVEN) < 0.01
    assert _graded(0.1, EVEN) > _graded(0.3, EVEN) > _graded(0.6, EVEN)
    assert _graded(0.0, np.array([0.9, 0.1])) < 0.12  # a rare class is never predicted
    assert _graded(0.3, np.full(10, 0.1)) > _graded(0.3, EVEN)


def test_a_few_values_far_out_are_seen_among_few_rows_and_a_long_tail_is_none() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=300)
    assert _extreme(values)[0] < 3.0
    values[:3] = 300.0
    extreme, outer, by_chance = _extreme(values)
    assert extreme > 50.0
    assert outer == 3
    assert by_chance < 1e-6
    assert _extreme(random.lognormal(size=3000))[0] < 8.0


def test_a_tail_like_a_power_goes_on_as_it_falls() -> None:
    """Of 10,000 distances the shares beyond t are t to the minus 2: beyond 100 one is expected."""
    distances = (np.arange(1, 10_001) / 10_000) ** -0.5
    assert _beyond(distances, 100.0) == pytest.approx(1.0, rel=0.05)
    assert _beyond(distances, 1000.0) == pytest.approx(0.01, rel=0.1)
    assert _beyond(np.ones(300), 9.0) == 0.0  # no tail to go on
