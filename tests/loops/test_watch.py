"""A stranger's training loop, watched: what is read, what is found, and what it must not change."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pawl
from pawl.errors import TaskError
from pawl.loops import Watch


class Net(nn.Module):
    """Somebody's: a dictionary of layers, activations as functions, dropout by mode, targets inside."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"in": nn.Linear(10, 32), "mid": nn.Linear(32, 32)})
        self.norm, self.head = nn.BatchNorm1d(32), nn.Linear(32, 3)
        with torch.no_grad():
            self.parts["mid"].bias.add_(shift)

    def forward(self, x: Tensor, *, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        x = F.relu(self.norm(self.parts["in"](x)))
        x = F.dropout(F.relu(self.parts["mid"](x)), 0.1, self.training)
        out = self.head(x)
        return out, None if targets is None else F.cross_entropy(out, targets)


def rows(count: int = 256) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(count, 10, generator=generator)
    return x, x[:, :3].argmax(1)


def train(
    net: Net, steps: int = 60, rate: float = 1e-2, watch: bool = True, **given: float
) -> Watch | None:
    """The loop, as one would write it."""
    torch.manual_seed(1)
    x, y = rows()
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)

    def loop(w: Watch | None) -> None:
        for step in range(steps):
            at = torch.arange(32) + 32 * (step % 8)
            optimizer.zero_grad()
            loss = net.train()(x[at], targets=y[at])[1]
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            if w is not None and step % 10 == 9:
                with torch.no_grad():
                    w.valid(net.eval()(x[200:], targets=y[200:])[1])

    if not watch:
        loop(None)
        return None
    with pawl.watch(net, optimizer, **given) as w:
        loop(w)
    return w


def fresh(shift: float = 0.0) -> Net:
    torch.manual_seed(0)
    return Net(shift)


def test_watching_changes_nothing_and_reads_what_there_is() -> None:
    alone, watched = fresh(), fresh()
    backward = torch.Tensor.backward
    assert train(alone, watch=False) is None
    w = train(watched, share=1e9)
    assert w is not None
    assert torch.Tensor.backward is backward
    for (name, mine), theirs in zip(
        watched.state_dict().items(), alone.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs), name
    run = w.training
    assert (run.status, run.last.step, run.total, run.batch) == ("completed", 60, 60, 32)
    assert run.first.step == 0
    assert [each.function for each in run.first.units] == ["ReLU", "ReLU"]
    assert {each.name for each in run.first.weights} == dict(watched.named_parameters()).keys()
    assert all(each.moved > 0 for each in run.first.weights if each.gradient > 1e-6)
    assert run.last.valid_loss < run.readings[len(run.readings) // 2].train_loss + 1
    assert math.isfinite(run.first.noise)
    assert run.times is not None
    assert run.times.steps == 60
    steps = [step for step, _ in run.losses]
    assert steps == sorted(steps)
    assert steps[-1] == 60
    assert not [each.rule for each in w.findings if each.severity == "critical"]


def test_losses_and_gradients_are_the_loops_own() -> None:
    net = nn.Linear(4, 1, bias=False)
    descent = torch.optim.SGD(net.parameters(), lr=0.1)
    x = torch.eye(4)
    with pawl.watch(net, descent, share=1e9) as w:
        seen = []
        for _ in range(3):
            descent.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            seen.append(
                (
                    float(loss.detach()),
                    float(net.weight.grad.norm()),
                    float(net.weight.detach().norm()),
                )
            )
            descent.step()
    for (loss, slope, norm), read in zip(seen, w.training.readings, strict=False):
        assert read.train_loss == pytest.approx(loss)
        assert read.weights[0].gradient == pytest.approx(slope)
        assert read.weights[0].norm == pytest.approx(norm)
        assert read.weights[0].moved == pytest.approx(0.1 * slope / norm, rel=1e-4)
        assert read.rate == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("shift", "rate", "rule"), [(-40.0, 1e-3, "dead_units"), (0.0, math.inf, "non_finite")]
)
def test_faults_of_a_loop_are_told(shift: float, rate: float, rule: str) -> None:
    w = train(fresh(shift), rate=rate, steps=40, share=1e9)
    assert w is not None
    assert rule in {each.rule for each in w.findings}
    assert rule.replace("_", " ").capitalize() in w.page()


def test_the_page_loads_nothing_and_shows_in_a_notebook(tmp_path: Path) -> None:
    w = train(fresh(), steps=30, share=1e9)
    assert w is not None
    text = w.save(tmp_path / "watch.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")
    for name in ("parts.in.weight", "head.weight", "Dead units", "Where the time goes"):
        assert name in text
    shown = w._repr_html_()
    assert shown.startswith("<iframe sandbox srcdoc=")
    assert shown.count("<") == 2  # all within is escaped
    assert "60 steps" in repr(train(fresh(), share=1e9))


def test_a_loop_that_raises_leaves_what_was_seen_and_no_hook() -> None:
    net = fresh()
    optimizer = torch.optim.Adam(net.parameters())
    x, y = rows(32)
    backward, w = torch.Tensor.backward, pawl.watch(net, optimizer)

    def loop() -> None:
        with w:
            net(x, targets=y)[1].backward()
            optimizer.step()
            raise KeyError("the loop's")

    with pytest.raises(KeyError):
        loop()
    assert w.training.status == "failed"
    assert w.training.last.step == 1
    assert not net._forward_hooks
    assert not net._forward_pre_hooks
    assert torch.Tensor.backward is backward


def test_what_is_no_model_is_told() -> None:
    with pytest.raises(TaskError, match=r"got int and Adam; give a torch.nn.Module"):
        pawl.watch(3, torch.optim.Adam([nn.Parameter(torch.ones(1))]))  # type: ignore[arg-type]


def test_an_optimizer_of_another_model_and_a_scripted_one_are_told() -> None:
    net, other = fresh(), fresh()
    with pytest.raises(TaskError, match=r"has none of the model's \d+ parameter tensors"):
        pawl.watch(net, torch.optim.Adam(other.parameters()))
    pawl.watch(net, torch.optim.Adam(list(net.parameters())[:1]))  # the others are frozen
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # to script is deprecated, and done
        scripted = torch.jit.script(nn.Linear(2, 1))
    with pytest.raises(TaskError, match="got a scripted module"):
        pawl.watch(scripted, torch.optim.Adam(scripted.parameters()))


def test_nothing_seen_is_nothing_said() -> None:
    net = fresh()
    with pawl.watch(net, torch.optim.Adam(net.parameters())) as w:
        pass
    assert w.findings == []
    assert "0 steps" in w.page()


class Plain(nn.Module):
    """Layers of which some are in a list, if asked for."""

    def __init__(self, hidden: bool = False) -> None:
        super().__init__()
        layers = [nn.Linear(10, 16), nn.Linear(16, 16)]
        self.blocks: list[nn.Module] | nn.ModuleList = layers if hidden else nn.ModuleList(layers)
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = F.relu(block(x))
        return self.head(self.drop(x))


def mistakes(
    net: nn.Module,
    *,
    clear: str = "step",
    train_again: bool = True,
    parts: int = 1,
    optimizer: torch.optim.Optimizer | None = None,
) -> set[str]:
    """Trains for some epochs, with validation; returns the names of the rules on the loop itself."""
    x, y = rows()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-2) if optimizer is None else optimizer
    with pawl.watch(net, optimizer) as w:
        net.train()
        for _ in range(4):
            if train_again:
                net.train()
            for step in range(6):
                loss = F.cross_entropy(
                    net(x[32 * step : 32 * step + 32]), y[32 * step : 32 * step + 32]
                )
                if clear == "step":
                    optimizer.zero_grad()
                elif clear == "in place":
                    optimizer.zero_grad(set_to_none=False)
                for _ in range(parts - 1):
                    F.cross_entropy(net(x[:32]), y[:32]).backward()
                loss.backward()
                optimizer.step()
                if clear == "behind":
                    optimizer.zero_grad()
            with torch.no_grad():
                w.valid(F.cross_entropy(net.eval()(x[200:]), y[200:]))
    known = {
        "gradients_add_up", "trains_in_evaluation_mode", "layers_not_registered",
        "optimizer_of_other_weights",
    }  # fmt: skip
    return {each.rule for each in w.findings} & known


@pytest.mark.parametrize("clear", ["step", "in place", "behind"])
@pytest.mark.parametrize("parts", [1, 3])
def test_a_loop_that_clears_its_gradients_is_told_nothing(clear: str, parts: int) -> None:
    assert mistakes(Plain(), clear=clear, parts=parts) == set()


def test_gradients_that_nobody_clears_are_named() -> None:
    assert mistakes(Plain(), clear="never") == {"gradients_add_up"}


def test_a_model_that_stays_in_evaluation_mode_is_named_where_that_matters() -> None:
    assert mistakes(Plain(), train_again=False) == {"trains_in_evaluation_mode"}
    alike = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
    assert mistakes(alike, train_again=False) == set()


def test_layers_in_a_plain_list_are_named() -> None:
    assert mistakes(Plain(hidden=True)) == {"layers_not_registered"}


def test_a_layer_that_was_replaced_behind_the_optimizer_is_named() -> None:
    net = Plain()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-2)
    net.head = nn.Linear(16, 3)
    assert mistakes(net, optimizer=optimizer) == {"optimizer_of_other_weights"}


def test_two_networks_that_train_in_turns_are_told_nothing() -> None:
    torch.manual_seed(0)
    maker, judge = nn.Linear(4, 10), Plain()
    ours, theirs = (torch.optim.Adam(net.parameters()) for net in (maker, judge))
    x, _ = rows()
    with pawl.watch(judge, theirs) as w:
        for _ in range(12):
            theirs.zero_grad()
            made = maker(torch.randn(32, 4))
            real = judge(x[:32])[:, 0]
            (F.softplus(judge(made.detach())[:, 0]).mean() + F.softplus(-real).mean()).backward()
            theirs.step()
            ours.zero_grad()
            F.softplus(-judge(maker(torch.randn(32, 4)))[:, 0]).mean().backward()  # judge's, too
            ours.step()
    assert not any(each.rule == "gradients_add_up" for each in w.findings)
