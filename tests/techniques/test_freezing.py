"""Freezing: which layers stay, and that nothing moves them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from problems import member, plain, problem
from torch import nn

from pawl.models import frozen
from pawl.techniques import technique
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.serial import SerialStepper


@pytest.mark.parametrize(
    ("share", "kept"),
    [
        (0.25, {"0.weight", "0.bias"}),
        (0.5, {"0.weight", "0.bias", "1.weight", "1.bias"}),
        (1.0, {"0.weight", "0.bias", "1.weight", "1.bias", "3.0.weight", "3.0.bias"}),
    ],
)
def test_the_first_layers_are_frozen_and_never_the_last(share: float, kept: set[str]) -> None:
    body = nn.Sequential(
        nn.Linear(3, 4), nn.LayerNorm(4), nn.ReLU(), nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 2)
    )
    before = {name: x.clone() for name, x in body.named_parameters()}
    technique("freezing").apply(body, SimpleNamespace(share=share), {})
    assert set(frozen(body)) == kept
    assert {name for name, _ in body.named_parameters()} == set(before) - kept
    for name, tensor in frozen(body).items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("make", [FusedStepper, SerialStepper])
def test_what_is_frozen_is_held_once_and_no_decay_moves_it(make: type) -> None:
    recipe = plain().with_("adamw", weight_decay=1.0).with_("freezing").with_("batch_norm")
    members = [member(recipe, s) for s in (1, 2)]
    population = Population(problem("pretrained"), members, make())
    assert set(population.shared) == {"module.0.weight", "module.0.bias"}
    before = {name: x.clone() for name, x in population.shared.items()}
    trained = set(population.layout.names)
    assert not trained & set(before)
    assert len(trained) == 4  # the last layer's, and those of the normalization that came in
    population.advance(4)
    for name, tensor in population.shared.items():
        assert torch.equal(tensor, before[name])


def test_a_model_that_starts_at_random_is_not_frozen() -> None:
    assert "random weights" in str(technique("freezing").fits(problem("own_model").facts()))
    assert technique("freezing").fits(problem("pretrained").facts()) is None
