"""Faults put in on purpose: each is caught, and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundles import bundle_of
from bundles_to_compress import rows, work_on
from graphs_to_compress import SCHEMA, examples, network
from problems import frame
from torch import Tensor, nn

from pawl import Task
from pawl.compression import pruning, quantizing
from pawl.compression.candidate import Weights
from pawl.compression.entrants import Entrant, Field
from pawl.data import read_like
from pawl.deployment import Bundle
from pawl.options.amounts import MaxLoss


def test_operators_that_silently_run_in_floats_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network()
    work, current = work_on(SCHEMA, examples(graph), graph, metric="rmse")
    monkeypatch.setattr(quantizing.Quantizing, "_made", lambda *_: graph)
    found = quantizing.quantized(work, current)
    assert isinstance(found, str)
    assert "ONNX Runtime computes all of it with floats" in found


class Folded(nn.Module):
    """Its forward knows the width of its layer by heart."""

    def __init__(self, spec: Any) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(spec.num_features, 64), nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x)).view(-1, 4, 16).mean(1))


@pytest.mark.filterwarnings("ignore")
def test_a_group_whose_pruning_breaks_a_reshape_is_named(tmp_path: Path) -> None:
    pytest.importorskip("torch_pruning")
    campaign = bundle_of(Task(data=frame(300), model=Folded), tmp_path / "c", epochs=1)
    bundle = Bundle.open(campaign)
    given = read_like(bundle.schema, rows(300, 1), with_targets=True)
    graph = (bundle.folder / "model.onnx").read_bytes()
    weights = Weights.read(bundle.folder / "model.safetensors")
    work, current = work_on(
        bundle.schema, given, graph, weights, allowed=MaxLoss(0.9, relative=False)
    )
    found = pruning.pruned(replace(work, model=Folded), current)
    assert isinstance(found, str)
    assert found.startswith("the network cannot be pruned (")
    assert "view" in found or "shape" in found


class Clockwork(Field):
    """Entrants whose times are made up, in place of processes."""

    def __init__(self, ms: dict[str, float], slow_first: int = 0, loaded_from: int = 10**9) -> None:
        self.ms, self.slow_first, self.loaded_from = ms, slow_first, loaded_from
        self.calls = dict.fromkeys(ms, 0)
        self.every = 0
        self._noise = np.random.default_rng(0)

    def _call(self, entrant: Entrant, times: int) -> float:
        self.calls[entrant.family] += 1
        self.every += 1
        ms = self.ms[entrant.family] * (1 + 0.02 * self._noise.random())
        if self.calls[entrant.family] <= self.slow_first:
            ms *= 100
        return ms * (3.0 if self.every > self.loaded_from else 1.0)


def test_first_calls_that_are_slow_do_not_count() -> None:
    field = Clockwork({"a": 2.0, "b": 1.0}, slow_first=5)
    times = field.timed([Entrant("a"), Entrant("b")], 24)
    speed, (low, high) = times["b ()"].gain_over(times["a ()"])
    assert (low, speed, high) == (
        pytest.approx(2, rel=0.03), pytest.approx(2, rel=0.03), pytest.approx(2, rel=0.03),
    )  # fmt: skip


def test_a_neighbor_that_comes_half_way_hits_all_alike() -> None:
    field = Clockwork({"a": 2.0, "b": 2.0}, loaded_from=12 + 24)
    times = field.timed([Entrant("a"), Entrant("b")], 24)
    speed, (low, high) = times["b ()"].gain_over(times["a ()"])
    assert low < 1.0 < high or speed == pytest.approx(1.0, rel=0.02)
    # In a row, the same load would have made one of them look three times as slow.
    assert times["a ()"].times.max() > 2.5 * times["a ()"].times.min()
