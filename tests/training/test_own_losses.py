"""Losses of the user's own that PyTorch would only warn of, or refuse in words of its own."""

from __future__ import annotations

import numpy as np
import pytest
from problems import ROWS, problem_of
from torch import Tensor, nn
from torch.nn import functional as F

from pawl.errors import TaskError
from pawl.task import LossFunction, Task

X = np.random.default_rng(3).normal(size=(ROWS, 4)).astype(np.float32)
VALUES = X[:, 0] + X[:, 1]
CLASSES = (X[:, 0] > 0).astype(np.int64)


class Single(nn.Module):
    """One output per row, without an axis of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[:, 0]


def column() -> nn.Module:
    return nn.Linear(4, 1)


@pytest.mark.parametrize(
    "loss",
    [nn.MSELoss(), nn.L1Loss(), nn.SmoothL1Loss(), nn.HuberLoss(), F.huber_loss],
    ids=lambda loss: getattr(loss, "__name__", type(loss).__name__),
)
def test_a_loss_that_would_compare_rows_with_other_rows_is_refused(loss: LossFunction) -> None:
    with pytest.raises(TaskError) as caught:
        problem_of(Task(data=(X, VALUES), model=column, loss=loss))
    said = str(caught.value)
    assert "compares outputs (32, 1) with targets (32,)" in said
    assert "return [B] from the model" in said
    assert "`lambda outputs, targets: mse_loss(outputs[:, 0], targets)`" in said


def test_what_the_refusal_says_to_write_is_taken() -> None:
    problem_of(Task(data=(X, VALUES), model=Single, loss=nn.MSELoss()))
    problem_of(
        Task(
            data=(X, VALUES),
            model=column,
            loss=lambda outputs, targets: F.mse_loss(outputs[:, 0], targets),
        )
    )


@pytest.mark.parametrize(
    ("model", "logit"),
    [
        (Single, "outputs"),
        (column, "outputs[:, 0]"),
        (lambda: nn.Linear(4, 2), "outputs[:, 1] - outputs[:, 0]"),
    ],
)
def test_binary_cross_entropy_of_classes_is_told_how_to_be_written(
    model: type[nn.Module], logit: str
) -> None:
    with pytest.raises(TaskError) as caught:
        problem_of(Task(data=(X, CLASSES), model=model, loss=nn.BCEWithLogitsLoss()))
    said = f"lambda outputs, targets: F.binary_cross_entropy_with_logits({logit}, targets.float())"
    assert f"`{said}`" in str(caught.value)
    problem_of(Task(data=(X, CLASSES), model=model, loss=eval(said, {"F": F})))
