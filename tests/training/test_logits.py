"""Models of classes that return probabilities are refused; logits of any make are taken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from problems import ROWS, images, problem_of
from torch import Tensor, nn
from torch.nn import functional as F

from pawl.errors import TaskError
from pawl.task import Task


class Ends(nn.Module):
    """A layer, and what comes after it."""

    def __init__(self, count: int, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.end = nn.Linear(4, count), end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.layer(x.flatten(1)[:, :4]))


def rows() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(3).normal(size=(ROWS, 4)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64)


def labels() -> tuple[np.ndarray, np.ndarray]:
    x, _ = rows()
    return x, (x[:, :2] > 0).astype(np.float32)


def values() -> tuple[np.ndarray, np.ndarray]:
    x, _ = rows()
    return x, 1 / (1 + np.exp(-x[:, 0]))


def own(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy(outputs, targets.float())


@pytest.mark.parametrize(
    ("task", "count", "end", "name"),
    [
        ({"data": rows()}, 1, torch.sigmoid, "sigmoid"),
        ({"data": rows(), "loss": own}, 1, lambda z: torch.sigmoid(z).squeeze(1), "sigmoid"),
        ({"data": rows()}, 2, lambda z: z.softmax(-1)[:, 1].clamp(1e-6, 1 - 1e-6), "softmax"),
        ({"data": rows()}, 2, nn.Softmax(dim=1), "softmax"),
        ({"data": images()}, 3, lambda z: z[:, None].softmax(-1).flatten(1), "softmax"),
        ({"data": labels(), "kind": "multilabel"}, 2, nn.Sigmoid(), "sigmoid"),
    ],
)
def test_probabilities_are_refused(
    task: dict[str, object], count: int, end: Callable[[Tensor], Tensor], name: str
) -> None:
    with pytest.raises(TaskError, match=f"the model ends in a {name}, so it returns prob.*logits"):
        problem_of(Task(**task, model=lambda: Ends(count, end)))


def _both(z: Tensor) -> Tensor:
    return torch.stack([1 - z[:, 0].sigmoid(), z[:, 0].sigmoid()], 1)


def _shares(z: Tensor) -> Tensor:
    return F.softplus(z) / F.softplus(z).sum(1, keepdim=True)


@pytest.mark.parametrize(("count", "end"), [(1, _both), (2, _shares)])
def test_probabilities_that_were_put_together_are_refused(
    count: int, end: Callable[[Tensor], Tensor]
) -> None:
    with pytest.raises(
        TaskError, match=r"returns probabilities, between 0 and 1 and 1 in all.*logits"
    ):
        problem_of(Task(data=rows(), model=lambda: Ends(count, end)))


@pytest.mark.parametrize(
    ("data", "count", "end"),
    [
        (rows(), 2, lambda z: z * z.sigmoid()),
        (rows(), 2, lambda z: z.sigmoid() * 2),
        (rows(), 2, lambda z: z.log_softmax(-1)),
        (rows(), 2, lambda z: z.softmax(-1).log()),
        (values(), 1, lambda z: z.sigmoid().squeeze(1)),
    ],
)
def test_gates_logarithms_and_values_are_taken(
    data: tuple[np.ndarray, np.ndarray], count: int, end: Callable[[Tensor], Tensor]
) -> None:
    problem_of(Task(data=data, model=lambda: Ends(count, end)))
