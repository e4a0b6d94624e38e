"""Readings of all members' layers: what they say, what they must not change, what they may cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from problems import member, plain, problem

from pawl.execution.outcomes import record_of
from pawl.recipe import Recipe
from pawl.training.fused import FusedStepper
from pawl.training.instruments import _MOST_READINGS, Instruments
from pawl.training.population import Population, Stepper
from pawl.training.run import Run
from pawl.training.serial import SerialStepper

STEPPERS: list[Callable[[], Stepper]] = [
    SerialStepper, FusedStepper, lambda: FusedStepper(backend="eager", width=2),
]  # fmt: skip
ALWAYS = 1e9


DESCENT = Recipe.of(standardize={}, batch_size={"size": 32}, sgd={"learning_rate": 0.01})


def population(make: Callable[[], Stepper], recipe: Recipe, kind: str = "table") -> Population:
    return Population(problem(kind), [member(recipe, seed=i, epochs=6) for i in (0, 1)], make())


@pytest.mark.parametrize("make", STEPPERS)
def test_readings_change_nothing_of_a_training(make: Callable[[], Stepper]) -> None:
    trained = []
    for share in (0.0, ALWAYS):
        run = Run(population(make, plain(dropout={}, batch_norm={}, mixup={})), instruments=share)
        while not run.finished():
            run.segment()
        trained.append((run.population.state, run.curves))
        assert bool(run.instruments.of(1).readings) == bool(share), run.instruments.trouble
    assert torch.equal(trained[0][0].weights, trained[1][0].weights)
    for name, buffer in trained[0][0].buffers.items():
        assert torch.equal(buffer, trained[1][0].buffers[name])
    assert trained[0][1] == trained[1][1]


@pytest.mark.parametrize("make", STEPPERS)
def test_a_step_of_gradient_descent_moves_weights_by_rate_times_gradient(
    make: Callable[[], Stepper],
) -> None:
    """Of plain descent the readings must fit together, whichever stepper takes the step."""
    made = population(make, DESCENT, "regression")
    read = Instruments(made, ALWAYS)
    for _ in range(3):
        read.advance(made, 1)
    assert read.trouble == ""
    for index in (0, 1):
        first, second = read.of(index).readings
        assert (first.step, second.step) == (1, 2)
        for norm, slope, moved in zip(second.norms, second.gradients, second.moved, strict=True):
            assert slope > 0
            assert moved == pytest.approx(0.01 * slope / norm, rel=2e-3)
    assert read.of(0).readings != read.of(1).readings


def test_both_ways_of_gradients_agree() -> None:
    found = []
    for make in (SerialStepper, FusedStepper):
        made = population(make, plain(dropout={}))
        read = Instruments(made, ALWAYS)
        read.advance(made, 1)
        read.advance(made, 1)
        found.append(read.of(1).readings[0])
    assert found[0].gradients == pytest.approx(found[1].gradients, rel=1e-3)
    assert found[0].norms == pytest.approx(found[1].norms, rel=1e-4)


def test_the_share_decides_when_a_reading_is_due() -> None:
    read = Instruments(population(SerialStepper, DESCENT), share=0.02)
    assert not read.due  # nothing is known of a step yet
    read.stepping, read._steps = 2.4, 900
    assert not read.due  # the first one may take 0.05 s, which is more than 2%
    read.stepping, read._steps = 10.0, 150
    assert not read.due  # four steps of 67 ms are more than 0.2 s, which is 2%
    read.stepping, read._steps = 10.0, 1000
    assert read.due
    read.reading, read._last, read._taken = 0.2, 0.05, 1
    assert not read.due
    read.stepping = 12.6
    assert read.due
    read.trouble = "broken"
    assert not read.due


def test_a_reading_that_fails_is_the_last_and_the_training_goes_on() -> None:
    made = population(SerialStepper, DESCENT)
    run = Run(made, instruments=ALWAYS)
    run.instruments._gradients = lambda *_: 1 / 0
    while not run.finished():
        run.segment()
    assert run.instruments.trouble.startswith("ZeroDivisionError")
    assert run.curves[0]
    assert not run.instruments.of(0).readings


def test_readings_follow_their_members_and_stay_few() -> None:
    made = population(SerialStepper, DESCENT)
    run = Run(made, instruments=ALWAYS)
    for _ in range(3 * _MOST_READINGS):
        run.instruments.advance(made, 1)
    second = run.instruments.of(1)
    assert _MOST_READINGS // 2 < len(second.readings) <= _MOST_READINGS
    assert [r.step for r in second.readings] == sorted({r.step for r in second.readings})
    (outcome,) = run.release({0: "completed"})
    assert run.instruments.of(0) == second
    record = record_of(outcome, "search", "", "search")
    assert record.layers["names"] == list(second.names)
    assert len(record.layers["gradients"]) == len(record.layers["steps"])
    assert record.timeless()["layers"] is None
