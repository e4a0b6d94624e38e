"""Loops in which more goes on than one model, one loss, one step; and models that resist reading."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pawl
from pawl.loops import Watch
from pawl.loops.reader import Reader

X = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
Step = Callable[[nn.Module, torch.optim.Optimizer], None]


@pytest.fixture(autouse=True)
def _read_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that each step's loss is kept alone."""
    monkeypatch.setattr("pawl.loops.watching._SPACING", 1.0)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 2))


def plain(model: nn.Module, optimizer: torch.optim.Optimizer, scale: float = 1.0) -> float:
    """Takes a step as one would write it; returns its loss."""
    optimizer.zero_grad()
    loss = scale * F.cross_entropy(model(X), Y)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def watched(
    step: Step, model: nn.Module | None = None, steps: int = 12, rate: float = 0.1, **given: Any
) -> Watch:
    model = net() if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, **given)
    with pawl.watch(model, optimizer, share=1e9) as w:
        for _ in range(steps):
            step(model, optimizer)
    return w


def rules(w: Watch) -> set[str]:
    return {each.rule for each in w.findings}


def test_losses_of_another_model_are_not_this_ones() -> None:
    other = nn.Linear(10, 2)
    theirs = torch.optim.SGD(other.parameters(), lr=0.1)
    true: list[float] = []

    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        true.append(plain(model, optimizer))
        plain(other, theirs, math.inf)

    w = watched(step)
    assert [loss for _, loss in w.training.losses] == pytest.approx(true)
    assert "non_finite" not in rules(w)


def test_losses_of_another_thread_are_not_this_ones() -> None:
    turn, seen = threading.Barrier(2, timeout=60), dict[float, Watch]()

    def loop(scale: float) -> None:
        torch.manual_seed(1)
        model = nn.Linear(10, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        with pawl.watch(model, optimizer, share=1e9) as w:
            for _ in range(10):
                turn.wait()
                plain(model, optimizer, scale)
        seen[scale] = w

    threads = [threading.Thread(target=loop, args=(scale,)) for scale in (1.0, 1000.0)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for scale, w in seen.items():
        assert len(w.training.losses) == 10
        assert all(0.1 * scale < loss < 2 * scale for _, loss in w.training.losses)


def test_what_a_maker_sends_through_its_judge_is_no_loss_of_the_judge() -> None:
    maker, judge = nn.Linear(4, 10), nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
    ours, theirs = (torch.optim.Adam(each.parameters()) for each in (maker, judge))
    losses: dict[str, list[float]] = {"maker": [], "judge": []}
    with pawl.watch(maker, ours, share=1e9) as w, pawl.watch(judge, theirs, share=1e9) as v:
        for _ in range(30):
            made = maker(torch.randn(32, 4))
            theirs.zero_grad()
            told = F.softplus(judge(made.detach())).mean() + F.softplus(-judge(X)).mean()
            told.backward()
            theirs.step()
            ours.zero_grad()
            fooled = 100 * F.softplus(-judge(made)).mean()
            fooled.backward()
            ours.step()
            losses["maker"].append(float(fooled.detach()))
            losses["judge"].append(float(told.detach()))
    for name, seen in (("maker", w), ("judge", v)):
        assert [loss for _, loss in seen.training.losses] == pytest.approx(losses[name])
        assert not {"nothing_trains", "non_finite", "gradients_add_up"} & rules(seen)


class Slow(torch.autograd.Function):
    """The same numbers; gradients take a while."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        time.sleep(1e-3)
        return slope


@pytest.mark.parametrize("handed", [False, True])
def test_gradients_of_several_batches_are_one_step_and_no_wait_for_data(handed: bool) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    true = []
    with pawl.watch(model, optimizer, share=1e9) as w:
        for _ in range(20):
            whole = 0.0
            for part in range(4):
                at = torch.arange(16) + 16 * part
                loss = F.cross_entropy(Slow.apply(model(X[at])), Y[at])
                (loss / 4).backward()
                whole += float(loss.detach()) / 4
                if handed:
                    w.loss(loss)
            optimizer.step()
            optimizer.zero_grad()
            true.append(whole)
    assert [step for step, _ in w.training.losses] == list(range(1, 21))
    assert [loss for _, loss in w.training.losses] == pytest.approx(true)
    assert w.training.times is not None
    assert w.training.times.backward > 4e-3 > w.training.times.data
    assert "data_starves" not in rules(w)


def test_what_a_closure_computes_within_a_step_is_no_wait_for_data() -> None:
    model = net()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X), Y)
        loss.backward()
        return loss

    with pawl.watch(model, optimizer, share=1e9) as w:
        for _ in range(25):
            optimizer.step(closure)
    assert [step for step, _ in w.training.losses] == list(range(1, 26))
    assert not {"data_starves", "nothing_trains"} & rules(w)


def test_sparse_gradients_are_read() -> None:
    model = nn.Sequential(nn.EmbeddingBag(50, 8, sparse=True), nn.Linear(8, 2))

    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(X.abs().mul(10).long().clamp(max=49)), Y).backward()
        optimizer.step()

    w = watched(step, model)
    assert w.training.first.weights[0].gradient > 0
    assert w.training.last.weights[0].distance > 0
    assert not w.trouble
    assert "nothing_trains" not in rules(w)


@pytest.mark.parametrize("width", [16, 24])
def test_layers_that_are_put_in_the_place_of_others_are_read_as_new(width: int) -> None:
    taken = []

    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        taken.append(plain(model, optimizer))
        if len(taken) == 6:
            model[0], model[2] = nn.Linear(10, width), nn.Linear(width, 2)
            optimizer.add_param_group({"params": [*model[0].parameters(), *model[2].parameters()]})

    w = watched(step)
    assert (w.training.last.step, len(w.training.losses)) == (12, 12)
    assert not w.trouble
    assert "layer_never_learns" not in rules(w)
    assert 0 < w.training.last.weights[0].distance < 10


def test_layers_whose_size_comes_with_the_first_batch_are_read() -> None:
    model = nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.Linear(16, 2))
    w = watched(lambda *given: plain(*given) and None, model)
    assert w.training.parameters == 16 * 10 + 16 + 16 * 2 + 2
    assert len(w.training.last.weights) == 4
    assert not w.trouble


def test_what_cannot_be_read_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise NotImplementedError("norm: not of these weights\nand more")

    monkeypatch.setattr(Reader, "read", refused)
    w = watched(lambda *given: plain(*given) and None)
    assert w.training.status == "completed"
    assert len(w.training.losses) == 12
    assert w.trouble == "NotImplementedError: norm: not of these weights"
    assert repr(w).endswith(f"not everything could be read: {w.trouble}")
    assert w.trouble in w.page()


def cleared(model: nn.Module, optimizer: torch.optim.Optimizer, to_none: bool = True) -> None:
    F.cross_entropy(model(X), Y).backward()
    optimizer.zero_grad(set_to_none=to_none)
    optimizer.step()


def detached(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(X).detach().requires_grad_(), Y).backward()
    optimizer.step()


def forgotten(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    F.cross_entropy(model(X), Y)
    optimizer.step()


def flat(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    (0 * model(X)).sum().backward()
    optimizer.step()


@pytest.mark.parametrize(
    ("step", "given", "why"),
    [
        (cleared, {}, "gone before the optimizer's step"),
        # Weights decay, and learn nothing.
        (
            lambda *given: cleared(*given, to_none=False), {"weight_decay": 0.1},
            "gone before the optimizer's step",
        ),
        (lambda *given: plain(*given) and None, {"rate": 0.0}, "the learning rate was 0"),
        (detached, {}, "does not depend on them"),
        (forgotten, {}, "got no gradients"),
        (flat, {}, "all gradients of backward() were 0"),
        (lambda *given: plain(*given) and None, {"rate": 1e-12}, "weights are as they were before"),
    ],
)  # fmt: skip
def test_a_loop_in_which_no_weight_moves_is_named(
    step: Step, given: dict[str, float], why: str
) -> None:
    found = {each.rule: each for each in watched(step, **given).findings}
    assert found["nothing_trains"].severity == "critical"
    assert found["nothing_trains"].evidence.startswith("in 12 steps no weight learned anything: ")
    assert why in found["nothing_trains"].evidence


def test_a_loop_that_takes_gradients_by_itself_trains() -> None:
    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        weights = list(model.parameters())
        slopes = torch.autograd.grad(F.cross_entropy(model(X), Y), weights)
        for p, slope in zip(weights, slopes, strict=True):
            p.grad = slope
        optimizer.step()

    assert "nothing_trains" not in rules(watched(step))
