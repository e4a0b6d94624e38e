"""What a candidate loses: bounds with known answers, and how often a worse one passes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from pawl.compression import Judge
from pawl.compression.judging import Errors
from pawl.data.types import Examples
from pawl.errors import TaskError
from pawl.options.amounts import MaxLoss
from pawl.task import Objective
from pawl.training.metrics import make_objective

ACCURACY = make_objective("accuracy", None, "binary")
LOG_LOSS = make_objective("log_loss", None, "binary")


def examples(targets: np.ndarray) -> Examples:
    values = torch.from_numpy(targets)
    return Examples({"x": torch.zeros(len(values), 1)}, values)


def certain(labels: np.ndarray) -> np.ndarray:
    """Probabilities that say these labels."""
    second = np.where(labels == 1, 0.9, 0.1)
    return np.stack([1 - second, second], 1).astype(np.float32)


def labels(rows: int, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    targets = np.arange(rows) % 2
    predicted = targets.copy()
    predicted[:wrong] ^= 1
    return targets, predicted


@pytest.mark.parametrize("error", [0.05, 0.01])
def test_without_a_changed_label_the_bound_is_of_what_was_not_seen(error: float) -> None:
    targets, predicted = labels(400, 40)
    judge = Judge(ACCURACY, examples(targets), certain(predicted), MaxLoss(0.02, False))
    found = judge(certain(predicted), error)
    t, step = stats.t.ppf(1 - error, 399), math.sqrt(400 / 399) / 400
    assert found.loss == 0.0
    # A loss of m moves m of the rows at least, and two more: m = t sqrt(m s + 2 s^2).
    assert found.at_most == pytest.approx(t * math.sqrt(found.at_most * step + 2 * step**2))
    assert found.passed
    assert found.value == pytest.approx(0.9)


def test_a_model_without_errors_may_lose_what_was_not_seen() -> None:
    targets, _ = labels(400, 0)
    judge = Judge(ACCURACY, examples(targets), certain(targets), MaxLoss(0.02, False))
    found = judge(certain(targets))
    t = stats.t.ppf(0.95, 399)
    assert found.at_most == pytest.approx(t * math.sqrt(found.at_most / 400 + 2 / 400**2))
    assert found.at_most > 3 / 400


def test_a_loss_above_the_margin_does_not_pass_and_a_gain_does() -> None:
    targets, predicted = labels(400, 40)
    judge = Judge(ACCURACY, examples(targets), certain(predicted), MaxLoss(0.02, False))
    worse, better = predicted.copy(), targets.copy()
    worse[40:52] ^= 1
    found = judge(certain(worse))
    assert found.loss == pytest.approx(12 / 400)
    assert found.at_most > 0.03
    assert not found.passed
    assert judge(certain(better)).passed
    assert judge(certain(better)).loss == pytest.approx(-0.1)


@pytest.mark.parametrize(("lost", "won", "share"), [(0.03, 0.01, 0.075), (0.02, 0.0, 0.05)])
def test_of_those_that_lose_the_margin_few_pass(lost: float, won: float, share: float) -> None:
    generator = np.random.default_rng(0)
    count, margin, passed = 300, 0.02, 0
    for _ in range(400):  # the error of a share of 0.05 is 0.011
        targets = np.arange(count) % 2
        own = np.where(generator.random(count) < 0.1, 1 - targets, targets)
        turned = generator.random(count)
        theirs = np.where(own == targets, own ^ (turned < lost / 0.9), own ^ (turned < won / 0.1))
        judge = Judge(ACCURACY, examples(targets), certain(own), MaxLoss(margin, False))
        passed += judge(certain(theirs)).passed
    assert 0 < passed / 400 <= share


def test_losses_that_are_the_same_for_every_row_pass_by_their_ratio() -> None:
    targets, predicted = labels(200, 20)
    judge = Judge(LOG_LOSS, examples(targets), certain(predicted), MaxLoss(0.05, True))
    assert judge.margin == pytest.approx(0.05 * judge.value)
    near = certain(predicted) + np.array([[-1e-4, 1e-4]], dtype=np.float32)
    assert judge(near).passed
    flat = np.full((200, 2), 0.5, dtype=np.float32)
    assert not judge(flat).passed
    assert not judge(np.full((200, 2), np.nan, dtype=np.float32)).passed


def test_too_few_rows_are_named_with_the_least_that_they_can_show() -> None:
    targets, predicted = labels(60, 6)
    judge = Judge(ACCURACY, examples(targets), certain(predicted), MaxLoss(0.005, True))
    with pytest.raises(TaskError, match=r"60 rows judge, too few .* 0\.0045 of accuracy: 0\.1"):
        judge.check(certain(predicted), 0.05 / 3)


def test_a_share_of_nothing_is_refused() -> None:
    targets, _ = labels(60, 0)
    with pytest.raises(TaskError, match="scores 0, of which that is nothing"):
        Judge(ACCURACY, examples(targets), certain(1 - targets), MaxLoss(0.005, True))


@pytest.mark.parametrize("objective", [ACCURACY, LOG_LOSS])
def test_rows_for_choices_tell_what_others_will_show(objective: Objective) -> None:
    generator = np.random.default_rng(1)

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        targets = np.arange(count) % 2
        turned = generator.random(count)
        own = np.where(turned < 0.1, 1 - targets, targets)
        theirs = np.where((turned < 0.08) | (turned > 0.97), 1 - targets, targets)
        return targets, certain(own), certain(theirs)

    targets, own, theirs = drawn(40_000)
    judge = Judge(objective, examples(targets), own, MaxLoss(0.05, False))
    few, few_own, few_theirs = drawn(10_000)
    alike = Judge(objective, examples(few), few_own, MaxLoss(0.05, False), like=40_000)
    here, there = judge(theirs, 0.01), alike(few_theirs, 0.01)
    width = here.at_most - here.loss
    assert there.at_most - there.loss == pytest.approx(width, rel=0.1)
    plain = Judge(objective, examples(few), few_own, MaxLoss(0.05, False))(few_theirs, 0.01)
    assert plain.at_most - plain.loss == pytest.approx(2 * width, rel=0.1)


def test_a_failed_test_uses_up_its_error_and_all_errors_sum_to_the_whole() -> None:
    errors, taken = Errors(0.05), []
    assert errors.next == errors.next == pytest.approx(0.05 / 3)
    for _ in range(200):
        taken.append(errors.next)
        errors.failed()
    assert taken[1] == pytest.approx(2 / 3 * taken[0])
    assert sum(taken) == pytest.approx(0.05)


def test_few_chains_of_tests_pass_anything_that_loses_the_margin() -> None:
    generator = np.random.default_rng(2)
    chains, erred = 4000, 0
    for _ in range(chains):  # the error of a share of 0.05 is 0.0034
        errors, wrong = Errors(0.05), False
        for is_bad in generator.random(12) < 0.7:
            passed = generator.random() < (errors.next if is_bad else 0.9)
            wrong |= bool(passed and is_bad)
            if not passed:
                errors.failed()
        erred += wrong
    assert 0.02 < erred / chains < 0.05
