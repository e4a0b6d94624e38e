"""Runtimes beside each other: who enters, who is out, and what a bundle predicts with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundles_to_compress import bundle_of, rows
from graphs_to_compress import examples, network

import pawl
from pawl.compression import entrants, runtimes
from pawl.compression.entrants import Entrant
from pawl.compression.runtimes import Timed, bake_off
from pawl.deployment import Bundle
from pawl.deployment.records import MEASURED
from pawl.deployment.running import running_of
from pawl.environment import cpu_features
from pawl.errors import BundleWarning
from pawl.recipe import Recipe


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "_ROUNDS", 4)
    monkeypatch.setattr(entrants, "_WARM", 2)


@pytest.mark.slow
def test_runtimes_predict_the_same_and_are_told_with_times(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "c", epochs=1)
    graph = (bundle.folder / "model.onnx").read_bytes()
    given = bundle.read(rows(50, 1))
    found = bake_off(graph, given, batch=8, threads=1, module=bundle.module())
    in_time = [each for each in found.timed if each.ms is not None]
    assert {each.family for each in in_time} >= {"onnxruntime", "torch"}
    assert all(each.reason == "" and each.speed_interval for each in in_time)
    assert [each.ms for each in in_time] == sorted(each.ms or 0 for each in in_time)
    assert {e.name for e in in_time if e.family == "torch"} <= {
        "torch (compiled False, threads 1)", "torch (compiled True, threads 1)",
    }  # fmt: skip
    record = json.loads(json.dumps(found.record()))
    assert record["cpu_features"] == list(cpu_features())
    for each in found.timed:  # without it OpenVINO is not among them; where it fails it says why
        assert (each.ms is None) == bool(each.reason)


def test_a_runtime_that_predicts_otherwise_is_out_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtimes, "_COMPILED", (False,))  # compiling takes long
    graph = network()
    given = examples(graph, 64)

    class Module(torch.nn.Module):
        names = ("x",)

        def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
            return tensors[0].sum(-1)

    module: Any = Module()
    found = bake_off(graph, given, batch=4, threads=1, module=module)
    out = [each for each in found.timed if each.family == "torch"]
    assert out
    assert all("predicts otherwise than the bundle (by" in each.reason for each in out)
    assert all(each.ms is None for each in out)
    assert found.kept is None or found.kept.family != "torch"


def test_only_what_is_shown_to_be_faster_is_used() -> None:
    default = Entrant("onnxruntime", {"threads": 1})
    faster, torch_ = Entrant("onnxruntime", {"threads": 2}), Entrant("torch", {"threads": 1})
    entered = {each.name: each for each in (default, faster, torch_)}

    def timed(entrant: Entrant, speed: float, low: float) -> Timed:
        return Timed(entrant.name, entrant.family, 1 / speed, (0, 1), speed, (low, 9.0))

    base = timed(default, 1.0, 1.0)
    fast = timed(torch_, 3.0, 2.5)
    assert runtimes._kept([fast, timed(faster, 1.5, 1.2), base], entered, default) == faster
    assert runtimes._kept([fast, timed(faster, 1.5, 0.9), base], entered, default) is None
    assert runtimes._kept([timed(faster, 1.01, 1.005), base], entered, default) is None


def test_a_bundle_predicts_with_what_was_chosen_where_that_carries_over() -> None:
    graph = network()
    given = {"x": examples(graph, 9).inputs["x"].numpy()}
    expected = running_of(graph, None).run(["prediction"], given)[0]
    used = {"family": "onnxruntime", "threads": 1, "level": "basic", "mode": "sequential"}
    here = {"used": used, "cpu_features": list(cpu_features())}
    np.testing.assert_allclose(
        running_of(graph, here).run(["prediction"], given)[0], expected, atol=1e-5
    )
    parallel = {**here, "used": {**used, "mode": "parallel", "threads": 2}}
    np.testing.assert_allclose(
        running_of(graph, parallel).run(["prediction"], given)[0], expected, atol=1e-5
    )
    elsewhere = {**here, "cpu_features": ["warp_drive"]}
    with pytest.warns(BundleWarning, match="this processor lacks warp_drive, which that one had"):
        default = running_of(graph, elsewhere)
    np.testing.assert_allclose(default.run(["prediction"], given)[0], expected, atol=1e-5)


def test_openvino_has_the_face_of_a_session() -> None:
    pytest.importorskip("openvino")
    graph = network()
    given = {"x": examples(graph, 9).inputs["x"].numpy()}
    expected = running_of(graph, None).run(["prediction"], given)[0]
    chosen = {"used": {"family": "openvino", "threads": 1}, "cpu_features": []}
    running = running_of(graph, chosen)
    assert [item.name for item in running.get_inputs()] == ["x"]
    for count in (9, 2):
        few = {"x": given["x"][:count]}
        np.testing.assert_allclose(
            running.run(["prediction"], few)[0], expected[:count], rtol=1e-3, atol=1e-3
        )


def test_compress_leaves_what_was_timed_in_the_bundle(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "c", (Recipe.of(lightgbm={"rounds": 10}),))
    size = (bundle.folder / "model.onnx").stat().st_size
    found = pawl.compress(
        bundle, rows(300, 1), max_loss=0.3, max_size=size, runtimes=True, out=tmp_path / "out"
    )
    assert not found.is_changed
    kept = json.loads((tmp_path / "out" / "bundle" / MEASURED).read_text())["runtime"]
    assert kept == json.loads(json.dumps(found.runtime))
    assert any(each["family"] == "onnxruntime" for each in kept["timed"])
    (torch_,) = (each for each in kept["timed"] if each["family"] == "torch")
    assert "trees, for which torch.export has no operation" in torch_["reason"]
    assert len(Bundle.open(tmp_path / "out").predict(rows(5, 1))) == 5
