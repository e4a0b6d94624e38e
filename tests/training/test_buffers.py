"""What a user's forward does to its buffers is kept, member by member, or refused by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from problems import member, plain, problem_of
from torch import Tensor, nn

from pawl.data import ModelSpec
from pawl.errors import TaskError
from pawl.task import Task
from pawl.training.fused import FusedStepper
from pawl.training.population import Population, Stepper
from pawl.training.problem import Problem
from pawl.training.run import Run
from pawl.training.serial import SerialStepper
from pawl.training.trained import from_outcome

STEPPERS: list[Callable[[], Stepper]] = [
    FusedStepper,
    SerialStepper,
    lambda: FusedStepper(backend="eager", width=2),
]
BARE = plain().without("standardize")
Forward = Callable[["Stateful", Tensor], None]


class Stateful(nn.Module):
    """A linear model with buffers."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.layer = nn.Linear(spec.num_features, spec.num_outputs)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(spec.num_features))
        self.register_buffer("later", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.change(x)
        return self.layer(x)

    def change(self, x: Tensor) -> None:
        raise NotImplementedError


def problem_with(change: Forward) -> Problem:
    class Changing(Stateful):
        def change(self, x: Tensor) -> None:
            change(self, x)

    generator = np.random.default_rng(3)
    x = generator.normal(size=(160, 4)).astype(np.float32)
    return problem_of(Task(data=(x, (x[:, 0] > 0).astype(np.int64)), model=Changing))


def reassigns(model: Stateful, x: Tensor) -> None:
    model.count = model.count + 1
    # Depends on the weights, as a running statistic may; the next step must not go back so far.
    model.mean = 0.9 * model.mean + 0.1 * (x * model.layer.weight[:1]).mean(0)


def in_place(model: Stateful, x: Tensor) -> None:
    model.count += 1
    with torch.no_grad():
        model.mean.copy_(0.9 * model.mean + 0.1 * (x * model.layer.weight[:1]).mean(0))


@pytest.mark.parametrize("stepper", STEPPERS, ids=["fused", "serial", "compiled"])
def test_buffers_that_forward_reassigns_are_kept(stepper: Callable[[], Stepper]) -> None:
    states = []
    for change, step in ((reassigns, stepper), (in_place, SerialStepper)):
        recipe = BARE.with_("ema", horizon=12.0)
        members = [member(recipe, seed) for seed in (1, 2)]
        population = Population(problem_with(change), members, step())
        population.advance(4)
        population.keep([1, 0])
        population.advance(3)
        states.append(population.state)
    reassigned, expected = states
    assert reassigned.buffers["module.count"].tolist() == [7, 7]
    for name in ("module.count", "module.mean"):
        torch.testing.assert_close(reassigned.buffers[name], expected.buffers[name])
        torch.testing.assert_close(reassigned.average_buffers[name], expected.average_buffers[name])
    assert not torch.allclose(*reassigned.buffers["module.mean"])


@pytest.mark.parametrize("stepper", STEPPERS, ids=["fused", "serial", "compiled"])
def test_they_are_in_the_trained_model(stepper: Callable[[], Stepper]) -> None:
    one = problem_with(reassigns)
    run = Run(Population(one, [member(BARE, 1), member(BARE, 2)], stepper()))
    while not run.finished():
        run.segment()
    for outcome in run.release(run.finished(), with_weights=run.finished()):
        model = from_outcome(one, outcome).model
        assert int(model.get_buffer("body.module.count")) == outcome.steps == 24


def grows(model: Stateful, x: Tensor) -> None:
    model.mean = torch.cat([model.mean, model.mean])


def averages(model: Stateful, x: Tensor) -> None:
    model.count = 0.9 * model.count


def forgets(model: Stateful, x: Tensor) -> None:
    model.mean = None  # type: ignore[assignment]


def registers(model: Stateful, x: Tensor) -> None:
    model.later = x.mean(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (grows, r"its buffer 'module.mean', torch.float32 \(4,\), torch.float32 \(8,\); shape"),
        (averages, r"its buffer 'module.count', torch.int64 \(\), torch.float32 \(\); shape"),
        (forgets, "sets its buffer 'module.mean' to NoneType; it must stay a tensor"),
        (registers, "made the buffer 'module.later', which was not there when the model was built"),
    ],
)
def test_buffers_that_cannot_be_kept_are_refused_at_the_start(
    change: Forward, message: str
) -> None:
    with pytest.raises(TaskError, match=message) as caught:
        problem_with(change)
    assert "\n" not in str(caught.value)
