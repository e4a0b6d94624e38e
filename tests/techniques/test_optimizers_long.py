"""Optimizers over a hundred steps that go by their own weights: PyTorch's, each other, and downhill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from problems import ALL_ROWS, member, plain, problem
from techniques.rules import LAYOUT, SIZE, context_of, settings_of
from techniques.table import ROWS
from torch import Tensor, nn

from pawl.techniques import StepContext, UpdateTechnique, techniques
from pawl.training.fused import FusedStepper
from pawl.training.population import Population
from pawl.training.serial import SerialStepper

Slope = Callable[[Tensor], Tensor]
OPTIMIZERS = [t for t in techniques() if isinstance(t, UpdateTechnique)]
STEPS = 100
CURVES = torch.logspace(-1.0, 0.5, SIZE)
AIM = torch.linspace(-1.0, 1.0, SIZE)
START = torch.full((SIZE,), -0.5) + 0.1 * torch.sin(torch.arange(float(SIZE)))


def bowl(w: Tensor) -> Tensor:
    """A quadratic whose curvatures are from 0.1 to 3."""
    return 0.5 * (CURVES * (w - AIM) ** 2).sum(-1)


def rosenbrock(w: Tensor) -> Tensor:
    """Rosenbrock's valley in many dimensions, a tenth as high: its floor is at 1."""
    first, then = w[..., :-1], w[..., 1:]
    return 0.1 * (100.0 * (then - first**2) ** 2 + (1.0 - first) ** 2).sum(-1)


def slope_of(value: Callable[[Tensor], Tensor]) -> Slope:
    def slope(w: Tensor) -> Tensor:
        leaf = w.detach().clone().requires_grad_()
        return torch.autograd.grad(value(leaf).sum(), leaf)[0]

    return slope


def settings(t: UpdateTechnique, rate: float) -> dict[str, Any]:
    """The defaults, with a multiple of the rate."""
    own = t.settings().model_dump()
    return {**own, "learning_rate": own["learning_rate"] * rate}


def descent(t: UpdateTechnique, slope: Slope, rates: tuple[float, ...], steps: int) -> Tensor:
    """Returns the weights that evaluations use, `[N, P]`, at multiples of the default rate."""
    own = settings_of([settings(t, rate) for rate in rates])
    weights = START.repeat(len(rates), 1)
    state = t.init(weights, LAYOUT)
    for step in range(1, steps + 1):
        more: dict[str, Tensor] = {}
        if t.coefficients:
            now = torch.full((1, len(rates)), float(step))
            found = t.coefficients(own.learning_rate.unsqueeze(0), now, own)
            more = {name: value[0] for name, value in found.items()}
        context: StepContext = context_of(step, own.learning_rate)
        named: Any = type(own)(**vars(own), **more)
        t.apply(weights, slope(weights), state, context, named)
    return state[t.evaluated] if t.evaluated else weights


@pytest.mark.parametrize("value", [bowl, rosenbrock])
@pytest.mark.parametrize("t", [t for t in OPTIMIZERS if t.optimizer], ids=lambda t: t.name)
def test_a_hundred_steps_are_those_of_pytorch(
    t: UpdateTechnique, value: Callable[[Tensor], Tensor]
) -> None:
    slope, rates = slope_of(value), (0.05, 0.02)
    found = descent(t, slope, rates, STEPS)
    for mine, rate in zip(found, rates, strict=True):
        leaf = nn.Parameter(START.clone())
        assert t.optimizer is not None
        optimizer = t.optimizer([leaf], t.settings(**settings(t, 1.0)))
        optimizer.param_groups[0]["lr"] = settings(t, rate)["learning_rate"]
        for _ in range(STEPS):
            leaf.grad = slope(leaf)
            optimizer.step()
        torch.testing.assert_close(mine, leaf.detach(), rtol=1e-3, atol=1e-4)
        assert not torch.allclose(mine, START, atol=1e-4)


@pytest.mark.parametrize("t", OPTIMIZERS, ids=lambda t: t.name)
def test_a_hundred_steps_are_the_same_fused_and_one_by_one(t: UpdateTechnique) -> None:
    recipes = [plain().with_(t.name, **own) for own in ROWS[t.name].settings[:2]]
    members = [member(recipe, seed, epochs=34) for seed, recipe in enumerate(recipes)]
    both = [Population(problem("table"), members, s()) for s in (FusedStepper, SerialStepper)]
    losses = [one.advance(STEPS) for one in both]
    torch.testing.assert_close(*losses, rtol=2e-3, atol=2e-4)
    fused, serial = (one.predict(one.problem.examples, ALL_ROWS) for one in both)
    torch.testing.assert_close(fused, serial, rtol=0, atol=1e-2)


@pytest.mark.parametrize("value", [bowl, rosenbrock])
@pytest.mark.parametrize("t", OPTIMIZERS, ids=lambda t: t.name)
def test_all_go_downhill(t: UpdateTechnique, value: Callable[[Tensor], Tensor]) -> None:
    """At one of a few rates: the valley is steep for what takes the gradient as it is."""
    after = value(descent(t, slope_of(value), (0.02, 0.2, 1.0, 10.0, 60.0), STEPS))
    best = after[after.isfinite()].min()
    assert best < 0.5 * value(START)
