"""Trainings on each device that is there: the same as on the CPU, and a campaign from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from problems import ALL_ROWS, frame, member, plain, problem

import pawl
from pawl.data import load
from pawl.execution import pick_device, plan
from pawl.task import Task
from pawl.training.fused import FusedStepper
from pawl.training.population import Population, Stepper
from pawl.training.problem import Problem
from pawl.training.serial import SerialStepper

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
MANY = plain(dropout={"rate": 0.2}, ema={}, mixup={}, layer_norm={}, gradient_clipping={})


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("stepper", [SerialStepper, FusedStepper])
def test_a_population_trains_as_on_the_cpu(device: str, stepper: type[Stepper]) -> None:
    """Random numbers are hashed, so that they are the same on every device."""
    task = Task(data=frame())
    there = Problem.of(task, load(task), pick_device(device))
    assert there.device.type == device
    members = [member(MANY, seed) for seed in range(3)]
    found = Population(there, members, stepper())
    found.advance(12)
    here = Population(problem("table"), members, SerialStepper())
    here.advance(12)
    mine, theirs = (
        each.predict(p.examples, ALL_ROWS.to(p.device)).cpu()
        for each, p in ((found, there), (here, problem("table")))
    )
    torch.testing.assert_close(mine, theirs, rtol=0, atol=2e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_ways_are_timed_where_they_train(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAWL_CACHE", str(tmp_path))
    task = Task(data=frame())
    one = Problem.of(task, load(task), pick_device(device))
    chosen = plan(
        one, plain(), member(plain()), timed=True, training_seconds=lambda _: 60.0,
        executor="inline",
    )  # fmt: skip
    assert chosen.seconds is not None
    assert 0 < chosen.seconds < 60


@pytest.mark.parametrize("device", DEVICES)
def test_a_campaign_runs_there(device: str, tmp_path: Path) -> None:
    table = frame()
    result = pawl.optimize(
        table, target="target", trials=6, epochs=3, device=device, out=tmp_path / "out",
        executor="inline",
    )  # fmt: skip
    found = result.predict(table)
    assert len(found) == len(table)
    assert np.isfinite(found["p_yes"]).all()


@pytest.mark.parametrize("device", DEVICES)
def test_deterministic_campaigns_repeat(device: str, tmp_path: Path) -> None:
    table = frame()
    table.to_csv(tmp_path / "table.csv", index=False)
    found = [
        pawl.optimize(
            tmp_path / "table.csv", target="target", trials=4, epochs=2, device=device,
            deterministic=True, executor="inline", families=["nets"], out=tmp_path / name,
        )
        for name in ("first", "second")
    ]  # fmt: skip
    predicted = [result.predict(table)["p_yes"].to_numpy() for result in found]
    np.testing.assert_array_equal(*predicted)
    assert "--deterministic" in found[0].summary.command.split()
    assert "True" not in found[0].summary.command
    assert not torch.are_deterministic_algorithms_enabled()
