"""The serial stepper: what it does ahead of a step changes no step."""

from __future__ import annotations

import pytest
import torch
from problems import frame, member, plain, problem, problem_of
from torch import Tensor, nn
from torch.nn import functional as F

from pawl.data import ModelSpec
from pawl.task import Task
from pawl.training import serial
from pawl.training.population import Population
from pawl.training.serial import SerialStepper


@pytest.mark.parametrize("kind", ["table", "images"])
def test_steps_do_not_depend_on_how_many_are_gathered_at_once(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = plain(dropout={"rate": 0.2}, noise={}, ema={"horizon": 12.0})
    states = []
    for values in (1, 10_000, 1 << 30):
        monkeypatch.setattr(serial, "_GATHERED_VALUES", values)
        population = Population(problem(kind), [member(recipe, s) for s in (1, 2)], SerialStepper())
        losses = torch.stack([population.advance(5), population.advance(4)])
        states.append((losses, *population.evaluated()))
    for losses, weights, buffers in states[1:]:
        assert torch.equal(losses, states[0][0])
        assert torch.equal(weights, states[0][1])
        assert all(torch.equal(buffers[name], states[0][2][name]) for name in buffers)


class Stock(nn.Module):
    """A user's model that draws from PyTorch's own generator."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.layer = nn.Linear(spec.num_features, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(F.dropout(x, 0.5, training=self.training))


def test_a_member_draws_stock_randomness_of_its_own() -> None:
    task = problem_of(Task(data=frame(), model=Stock))
    recipe = plain()
    first = Population(task, [member(recipe, 1), member(recipe, 2)], SerialStepper())
    first.advance(3)
    torch.rand(7)  # what others draw in between does not matter
    second = Population(task, [member(recipe, 2)], SerialStepper())
    second.advance(3)
    assert torch.equal(first.state.weights[1], second.state.weights[0])


@pytest.mark.parametrize("kind", ["images", "table"])
def test_channels_last_are_the_same_but_for_rounding(kind: str) -> None:
    recipe = plain()
    populations = [
        Population(problem(kind), [member(recipe, 1)], SerialStepper(channels_last=last))
        for last in (False, True)
    ]
    losses = [population.advance(6) for population in populations]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(population.state.weights for population in populations))
