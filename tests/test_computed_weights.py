"""Layers whose weights are computed: edited as plain ones are, where the way back is known."""

from __future__ import annotations

import pytest
import torch
from problems import ALL_ROWS, images, plain, problem_of
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.nn.utils.parametrize import is_parametrized
from user_nets_of_sequences import NormedTCN

from pawl.data import ModelSpec
from pawl.models import separable
from pawl.models.computed import likewise, put, resizable, settable
from pawl.task import Task
from pawl.techniques import refusal, technique
from pawl.training.problem import Problem

BARE = plain().without("standardize")


class Spectral(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.conv = spectral_norm(nn.Conv2d(1, 8, 3))
        self.out = nn.Linear(8, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.conv(x).relu().mean((2, 3)))


def learned(spec: ModelSpec) -> nn.Module:
    torch.manual_seed(4)
    return NormedTCN(spec)


def of(model: object) -> Problem:
    return problem_of(Task(data=images(), model=model))  # type: ignore[arg-type]


def body(problem: Problem, name: str, **settings: object) -> nn.Module:
    recipe = BARE.with_(name, **settings) if name else BARE
    return problem.build(recipe, 0, ALL_ROWS)[1].eval()


def predicted(problem: Problem, name: str = "", **settings: object) -> Tensor:
    rows = problem.examples.take(ALL_ROWS[:6]).inputs
    with torch.no_grad():
        return body(problem, name, **settings)({n: x.float() for n, x in rows.items()})  # type: ignore[no-any-return]


@pytest.mark.parametrize("shape", [(4, 3), (7, 5)])
def test_a_computed_weight_is_set(shape: tuple[int, int]) -> None:
    layer = weight_norm(nn.Linear(3, 4))
    wanted = torch.randn(shape)
    put(layer, "weight", wanted)
    torch.testing.assert_close(layer.weight, wanted)
    torch.testing.assert_close(
        layer.parametrizations.weight.original0.flatten(), wanted.norm(dim=1)
    )
    assert layer.parametrizations.weight.original1.requires_grad


def test_what_keeps_something_of_a_weights_shape_is_left() -> None:
    assert resizable(weight_norm(nn.Linear(3, 4)))
    assert resizable(nn.Linear(3, 4))
    assert not resizable(spectral_norm(nn.Linear(3, 4)))
    assert not settable(weight_norm(weight_norm(nn.Linear(3, 4)), "bias", dim=None))


def test_what_takes_a_layers_place_is_computed_likewise() -> None:
    new = likewise(weight_norm(nn.Linear(3, 4)), nn.Linear(6, 2))
    assert is_parametrized(new, "weight")
    assert not is_parametrized(likewise(nn.Linear(3, 4), nn.Linear(6, 2)))
    both = separable(weight_norm(nn.Conv1d(4, 8, 3, padding=2)))
    assert all(is_parametrized(each, "weight") for each in both)
    assert both(torch.randn(2, 4, 9)).shape == (2, 8, 11)


def test_wider_layers_of_learned_computed_weights_predict_the_same() -> None:
    problem = of(learned)
    wide = body(problem, "width", factor=2.0)
    (first,) = [m for n, m in wide.named_modules() if n.endswith("conv1")]
    assert first.weight.shape[0] == first.out_channels == 24
    torch.testing.assert_close(
        predicted(problem, "width", factor=2.0), predicted(problem), rtol=1e-4, atol=1e-4
    )


def test_separable_convolutions_of_a_normed_net_are_normed() -> None:
    convolutions = [
        m for m in body(of(NormedTCN), "separable").modules() if isinstance(m, nn.Conv1d)
    ]
    assert [m.groups for m in convolutions] == [8, 1, 12, 1]
    assert all(is_parametrized(m, "weight") for m in convolutions)


def test_what_has_no_way_back_is_refused() -> None:
    facts = of(Spectral).facts()
    assert "the weights of 'conv' (ParametrizedConv2d) are computed" in str(
        refusal(technique("width"), facts)
    )
