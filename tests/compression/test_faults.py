"""Faults put in on purpose: each is caught, and named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from bundles import bundle_of
from bundles_to_compress import bundle_of as bundle_of_table
from bundles_to_compress import rows, work_on
from graphs_to_compress import SCHEMA, examples, network
from onnx import numpy_helper
from problems import frame
from terminal import run_here as run
from torch import Tensor, nn

from pawl import Task
from pawl.compression import chain, pruning, quantizing, settling
from pawl.compression.candidate import Candidate, Weights
from pawl.compression.entrants import Entrant, Field
from pawl.compression.trying import Trial
from pawl.compression.work import Goals, Work
from pawl.data import read_like
from pawl.deployment import Bundle, Latency, disturbed
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
        self.first = {}
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
    told = field.slow_start(Entrant("b"), times["b ()"].median)
    assert told.startswith("its first calls took up to 10")
    assert told.endswith(" ms, and do not count")
    steady = Clockwork({"a": 2.0})
    usual = steady.timed([Entrant("a")], 24)["a ()"].median
    assert steady.slow_start(Entrant("a"), usual) == ""


def test_a_neighbor_that_comes_half_way_hits_all_alike() -> None:
    field = Clockwork({"a": 2.0, "b": 2.0}, loaded_from=12 + 24)
    times = field.timed([Entrant("a"), Entrant("b")], 24)
    speed, (low, high) = times["b ()"].gain_over(times["a ()"])
    assert low < 1.0 < high or speed == pytest.approx(1.0, rel=0.02)
    # In a row, the same load would have made one of them look three times as slow.
    assert times["a ()"].times.max() > 2.5 * times["a ()"].times.min()
    told = disturbed([*times.values()])
    assert told.startswith("something else took the machine for a part of the timing")
    assert "up to 3 times" in told or "up to 2.9 times" in told
    quiet = Clockwork({"a": 2.0, "b": 2.0})
    assert disturbed([*quiet.timed([Entrant("a"), Entrant("b")], 24).values()]) == ""


def test_a_neighbor_is_named_in_what_compressing_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_of_table(tmp_path / "c")
    data = tmp_path / "rows.csv"
    rows(300, 1).to_csv(data, index=False)
    size = (bundle.folder / "model.onnx").stat().st_size  # is kept as it is: nothing is tried

    def halfway(graphs: Mapping[str, bytes], *_: Any, **__: Any) -> dict[str, Latency]:
        return {name: Latency(np.repeat([1.0, 4.0], 20)) for name in graphs}

    monkeypatch.setattr(settling, "latencies", halfway)
    given = ("--max-loss", "0.3", "--max-size", str(size), "--out", tmp_path / "out")
    code, text, _ = run(capfd, "compress", bundle.folder, data, *given)
    assert code == 0
    assert "something else took the machine for a part of the timing" in " ".join(text.split())
    record = json.loads((tmp_path / "out" / "compress.json").read_text())
    assert "up to 4 times as long" in record["disturbed"]


def test_a_lossless_step_that_changes_outputs_by_one_percent_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = network()
    work, current = work_on(SCHEMA, examples(graph, 200), graph, metric="rmse", goals=Goals())

    def tampered(work: Work, current: Candidate) -> list[Candidate] | str:
        model = onnx.load_from_string(current.graph)
        (last,) = [each for each in model.graph.initializer if each.name == "w3"]
        last.CopyFrom(numpy_helper.from_array(1.01 * numpy_helper.to_array(last), "w3"))
        made = model.SerializeToString()
        return [replace(current, step="graph", detail="", graph=made, is_lossless=True)]

    monkeypatch.setattr(chain, "STEPS", {"graph": tampered})
    found = chain.Chain(Trial(work, work.judge, work.rows), current)
    found.run()
    (tried,) = found.tree.tried
    assert found.tree.at == -1
    assert tried.record.reason == "predicts otherwise (by 0.01)"
