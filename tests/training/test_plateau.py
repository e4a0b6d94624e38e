"""A rate that falls when the validation score no longer improves."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import member, plain, problem

from pawl.techniques.optimization.reduce_on_plateau import reduced
from pawl.training.fused import FusedStepper
from pawl.training.population import Population, Stepper
from pawl.training.run import Run
from pawl.training.serial import SerialStepper

BOTH = pytest.mark.parametrize("stepper", [FusedStepper, SerialStepper])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, math.nan]), max_size=30),
    st.integers(1, 5),
)
def test_it_is_that_of_pytorch(scores: list[float], patience: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=0.5, patience=patience - 1, threshold=0.0, eps=0.0
    )
    for score in scores:
        theirs.step(score)
    found = reduced(scores, SimpleNamespace(factor=0.5, patience=patience))
    assert found == optimizer.param_groups[0]["lr"]


@BOTH
def test_a_run_lowers_each_members_rate_by_its_own_scores(
    stepper: type[Stepper], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = plain().with_("sgd", learning_rate=0.2)
    slow = recipe.with_("reduce_on_plateau", warmup=0.0, factor=0.1, patience=1)
    members = [member(slow, 1, epochs=16), member(slow, 1, epochs=16)]
    run = Run(Population(problem("table"), members, stepper()))
    given_scores = iter([[0.5, 0.5], [0.6, 0.4], [0.7, 0.3], [0.8, 0.3]])
    monkeypatch.setattr(run, "validate", lambda _: torch.tensor(next(given_scores)))
    for expected in ([1.0, 1.0], [1.0, 0.1], [1.0, 0.01]):
        run.segment()
        torch.testing.assert_close(run.population.state.pace, torch.tensor(expected))
    before = run.population.state.weights.clone()
    run.population.advance(1)
    moved = (run.population.state.weights - before).abs().sum(1)
    assert moved[1] < 0.05 * moved[0]
    run.keep([1])
    torch.testing.assert_close(run.population.state.pace, torch.tensor([0.01]))
    run.admit([member(slow, 3)])
    torch.testing.assert_close(run.population.state.pace, torch.tensor([0.01, 1.0]))
    run.population.clone(0, 1)
    torch.testing.assert_close(run.population.state.pace, torch.tensor([0.01, 0.01]))


@BOTH
def test_until_scores_have_stalled_it_trains_as_without(stepper: type[Stepper]) -> None:
    recipe = plain(constant={"warmup": 0.0})
    watched = plain(reduce_on_plateau={"warmup": 0.0, "patience": 20})
    runs = [
        Run(Population(problem("table"), [member(one, 2)], stepper())) for one in (recipe, watched)
    ]
    for run in runs:
        run.segment()
        run.segment()
    assert torch.equal(*(run.population.state.weights for run in runs))


def test_a_recipe_that_watches_scores_gets_rows_to_be_scored_on() -> None:
    assert plain(reduce_on_plateau={}).stops
    assert not plain(cosine={}).stops
