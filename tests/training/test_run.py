"""Runs: evaluations, best weights, stops, divergence, and members that come and go."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from problems import ALL_ROWS, Functional, frame, member, plain, problem, problem_of
from torch import Tensor

from pawl.recipe import Recipe
from pawl.task import Task
from pawl.training.fused import FusedStepper
from pawl.training.metrics import score
from pawl.training.population import Member, Population, Stepper
from pawl.training.run import Outcome, Run
from pawl.training.serial import SerialStepper

STEPPERS = [FusedStepper, SerialStepper]


def run_of(members: list[Member], stepper: Stepper, kind: str = "table") -> Run:
    return Run(Population(problem(kind), members, stepper))


def to_the_end(run: Run) -> list[Outcome]:
    """Trains until all have ended; outcomes come in the order in which members end."""
    outcomes: list[Outcome] = []
    while len(run.population):
        run.segment()
        if finished := run.finished():
            outcomes += run.release(finished, with_weights=finished)
    return outcomes


def predictions(outcome: Outcome, kind: str = "table") -> Tensor:
    """Returns what the outcome's own weights predict on its validation rows."""
    assert outcome.weights is not None
    again = Population(problem(kind), [outcome.member], SerialStepper())
    state = outcome.weights[None], {k: v[None] for k, v in outcome.buffers.items()}
    return again.predict(again.problem.examples, outcome.member.valid, state)[0]


@pytest.mark.parametrize("stepper", STEPPERS)
def test_without_a_stop_all_steps_are_taken_and_the_last_weights_count(
    stepper: type[Stepper],
) -> None:
    outcomes = to_the_end(run_of([member(plain(), seed) for seed in range(2)], stepper()))
    for outcome in outcomes:
        assert (outcome.status, outcome.steps, outcome.reason) == ("completed", 24, "")
        assert [point.step for point in outcome.curve] == [12, 24]
        assert outcome.score == pytest.approx(outcome.curve[-1].valid_score)
        assert outcome.seconds > 0


@pytest.mark.parametrize("stepper", STEPPERS)
@pytest.mark.parametrize("extra", [{}, {"ema": {"horizon": 20.0}}, {"batch_norm": {}}])
def test_early_stopping_stops_and_keeps_the_best_weights(
    stepper: type[Stepper], extra: dict[str, dict[str, Any]]
) -> None:
    recipes = [
        plain(momentum={"learning_rate": 0.3}, early_stopping={"patience": p}, **extra)
        for p in (3, 6)
    ]
    members = [member(recipe, 3, epochs=400) for recipe in recipes]
    outcomes = to_the_end(run_of(members, stepper()))
    patience = []
    for outcome in outcomes:
        assert outcome.status == "stopped"
        assert outcome.steps < 1200
        scores = [point.valid_score for point in outcome.curve]
        assert outcome.score == max(scores)
        patience.append(scores[::-1].index(max(scores)))
        one = problem("table")
        kept = score(one.objective, predictions(outcome), one.targets[outcome.member.valid])
        assert float(kept) == pytest.approx(outcome.score, abs=1e-6)
    assert patience == [3, 6]


@pytest.mark.parametrize("stepper", STEPPERS)
def test_equal_scores_go_to_the_later_evaluation(stepper: type[Stepper]) -> None:
    """Classes that are told apart at once: the metric is at its best, and training still helps."""
    easy = pd.DataFrame(
        {"x": np.r_[-np.ones(80), np.ones(80)], "target": ["no"] * 80 + ["yes"] * 80}
    )
    one = problem_of(
        Task(data=easy.sample(frac=1.0, random_state=1), target="target", metric="accuracy")
    )
    ended = {}
    for recipe in (plain(), plain(early_stopping={"patience": 3})):
        run = Run(Population(one, [member(recipe, 1, epochs=30)], stepper()))
        (ended[recipe.id],) = to_the_end(run)
    last, stopped = ended.values()
    assert [point.valid_score for point in stopped.curve[-4:]] == [1.0] * 4
    assert stopped.status == "completed"
    torch.testing.assert_close(stopped.weights, last.weights)


@pytest.mark.parametrize("stepper", STEPPERS)
def test_without_rows_to_validate_on_the_last_weights_count_and_have_no_score(
    stepper: type[Stepper],
) -> None:
    members = [dataclasses.replace(member(plain(), s), valid=ALL_ROWS[:0]) for s in range(2)]
    outcomes = to_the_end(run_of(members, stepper()))
    scored = to_the_end(run_of([member(plain(), s) for s in range(2)], stepper()))
    for outcome, expected in zip(outcomes, scored, strict=True):
        assert (outcome.status, outcome.score) == ("completed", None)
        assert [point.step for point in outcome.curve] == [12, 24]
        assert all(math.isnan(point.valid_score) for point in outcome.curve)
        assert outcome.weights is not None
        assert expected.weights is not None
        torch.testing.assert_close(outcome.weights, expected.weights)


def test_a_metric_to_be_minimized_keeps_the_lowest() -> None:
    recipe = plain(adam={"learning_rate": 0.05}, early_stopping={"patience": 3})
    (outcome,) = to_the_end(run_of([member(recipe, epochs=200)], FusedStepper(), kind="regression"))
    scores = [point.valid_score for point in outcome.curve]
    assert outcome.score == min(scores)
    assert outcome.score != max(scores)


@pytest.mark.parametrize("stepper", STEPPERS)
def test_a_member_that_diverges_is_an_outcome_and_the_others_go_on(
    stepper: type[Stepper],
) -> None:
    # The column `noise` is not scaled, and the rate is as high as it may be.
    wild = Recipe.of(sgd={"learning_rate": 1.0}, batch_size={"size": 32})
    tame = wild.with_("sgd", learning_rate=0.001)
    task = Task(data=frame(regression=True), model=Functional)
    one = problem_of(task)
    run = Run(Population(one, [member(wild, 1), member(tame, 2)], stepper()))
    outcomes = {int(o.member.seed): o for o in to_the_end(run)}
    assert outcomes[1].status == "diverged"
    assert outcomes[1].score is None
    assert outcomes[1].weights is None
    assert outcomes[1].reason == "loss, predictions or metric are not finite"
    assert outcomes[2].status == "completed"
    alone = Run(Population(one, [member(tame, 2)], stepper()))
    (expected,) = to_the_end(alone)
    assert outcomes[2].score == pytest.approx(expected.score, abs=1e-4)


def test_a_loss_that_is_nan_is_a_divergence() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.sum(-1) * torch.nan).mean()

    # Put in behind the checks at a campaign's start, which would refuse it.
    one = dataclasses.replace(problem_of(Task(data=frame())), loss=loss)
    (outcome,) = to_the_end(Run(Population(one, [member(plain())], FusedStepper())))
    assert outcome.status == "diverged"
    assert math.isnan(outcome.curve[-1].train_loss)


@pytest.mark.parametrize("stepper", STEPPERS)
@pytest.mark.parametrize(
    "recipe",
    [
        plain(),
        plain(adamw={"learning_rate": 0.01}, cosine={"warmup": 0.2}, dropout={"rate": 0.3}),
        plain(ema={"horizon": 12.0}, mixup={"alpha": 0.4}, layer_norm={}),
    ],
    ids=["plain", "adamw", "ema"],
)
def test_members_of_different_ages_train_as_if_alone(
    stepper: type[Stepper], recipe: Recipe
) -> None:
    one = problem("table")
    members = [member(recipe, seed) for seed in range(5)]
    population = Population(one, members[:3], stepper())
    population.advance(3)
    population.keep([2, 0])
    population.admit(members[3:4])
    population.advance(2)
    population.admit(members[4:])
    population.advance(7)
    population.keep([3, 1, 2])
    population.advance(1)
    expected = [(4, 8), (0, 13), (3, 10)]
    assert [(m.seed, int(s)) for m, s in zip(population.members, population.step, strict=True)] == (
        expected
    )
    together = population.predict(one.examples, ALL_ROWS)
    for index, (seed, steps) in enumerate(expected):
        alone = Population(one, [members[seed]], stepper())
        alone.advance(steps)
        torch.testing.assert_close(
            together[index], alone.predict(one.examples, ALL_ROWS)[0], rtol=0, atol=1e-4
        )


def test_a_run_admits_and_keeps_without_mixing_up_its_books() -> None:
    recipe = plain(early_stopping={"patience": 50})
    members = [member(recipe, seed) for seed in range(4)]
    run = run_of(members[:2], FusedStepper())
    run.segment()
    run.admit(members[2:])
    run.keep([3, 1, 2])
    run.segment()
    assert [m.seed for m in run.population.members] == [3, 1, 2]
    assert [len(curve) for curve in run.curves] == [1, 2, 1]
    assert set(run.finished()) == {1}
    released = run.release({1: "completed", 2: "pruned"})
    assert [(o.member.seed, o.status, o.steps) for o in released] == [
        (1, "completed", 24),
        (2, "pruned", 12),
    ]
    assert released[0].weights is None
    (last,) = to_the_end(run)
    assert (last.member.seed, last.status, last.steps) == (3, "completed", 24)


def test_an_order_of_rows_covers_every_row_once_per_epoch() -> None:
    seen: list[Tensor] = []

    class Watching(SerialStepper):
        def advance(self, population: Population, batches: Sequence[dict[str, Tensor]]) -> Tensor:
            seen.append(batches[0]["rows"])
            return super().advance(population, batches)

    one = member(plain(), 4)
    population = Population(problem("table"), [one], Watching())
    for steps in (2, 3, 4):
        population.advance(steps)
    rows = torch.cat(seen).view(3, -1)
    for epoch in rows:
        assert sorted(epoch.tolist()) == sorted(one.train.tolist())
    assert not np.array_equal(rows[0], rows[1])


def test_predictions_do_not_depend_on_how_rows_are_cut() -> None:
    one = problem("table")
    population = Population(one, [member(plain(), seed) for seed in range(3)], FusedStepper())
    population.advance(3)
    shared = population.predict(one.examples, ALL_ROWS)
    many = population.predict(one.examples, ALL_ROWS.repeat(300))
    torch.testing.assert_close(many[:, : len(ALL_ROWS)], shared)
    torch.testing.assert_close(many[:, -len(ALL_ROWS) :], shared)
    own = torch.stack([ALL_ROWS, ALL_ROWS.flip(0), ALL_ROWS.roll(5)])
    torch.testing.assert_close(population.predict(one.examples, own)[1], shared[1].flip(0))
    some = population.predict(one.examples, ALL_ROWS, members=[2, 0])
    torch.testing.assert_close(some, shared[[2, 0]])
