"""Limits: what keeps them, what is nearest, and campaigns that are held to them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from bundles_to_compress import bundle_of, rows
from problems import frame
from terminal import run_here as run

import pawl
from pawl.compression import trainable, tuning, units
from pawl.compression.limits import Limits, chosen
from pawl.compression.result import Measured
from pawl.deployment import Bundle
from pawl.errors import LimitError, TaskError
from pawl.ledger import Ledger
from pawl.options import LimitOptions
from pawl.pacing import sizes
from pawl.result import load_result


def costs(ms: float, size: int, memory: int | None = None, spread: float = 0.0) -> Measured:
    interval = (ms - spread, ms + spread)
    return Measured(0.9, ms, interval, 10 * ms, (9 * ms, 11 * ms), size, memory)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_STEPS", 20)
    monkeypatch.setattr(tuning, "_STEPS", 10)
    monkeypatch.setattr(units, "_ROUNDS", 3)
    monkeypatch.setattr(trainable, "_STEPS", 10)


def test_each_limit_counts_and_a_latency_by_the_end_of_its_interval() -> None:
    limits = Limits(LimitOptions(max_latency="2ms", max_size="1kB", max_memory="80MB"))
    within = costs(1.5, 900, 70_000_000, spread=0.4)
    assert limits.keeps(within)
    assert limits.missed(within) == []
    assert limits.room(within) == pytest.approx(1000 / 950, rel=0.06)
    assert not limits.keeps(costs(1.5, 900, 70_000_000, spread=0.6))
    too_much = limits.missed(costs(4.0, 2000, 90_000_000), bare=60_000_000)
    assert [each.partition(":")[0] for each in too_much] == [
        "max_latency='2ms'", "max_size='1kB'", "max_memory='80MB'",
    ]  # fmt: skip
    assert "2,000 bytes" in too_much[1]
    assert "60,000,000 of them before it is loaded" in too_much[2]
    assert Limits(LimitOptions(max_latency="14ms"), batch=64).keeps(costs(1.0, 1))
    assert not Limits(LimitOptions(max_latency="10ms"), batch=64).keeps(costs(1.0, 1))
    assert Limits(LimitOptions()).room(within) == math.inf


def test_a_latency_near_its_limit_is_kept_and_not_safely_and_a_size_is_what_it_is() -> None:
    near, far = costs(0.95, 1000), costs(0.8, 1000)
    limits = Limits(LimitOptions(max_latency="1ms", max_size="1000B"))
    assert limits.keeps(near)
    assert not limits.keeps_safely(near)
    assert limits.keeps_safely(far)
    assert Limits(LimitOptions()).keeps_safely(near)


def test_what_is_left_keeps_the_limits_at_the_least_loss_or_is_nearest() -> None:
    limits = Limits(LimitOptions(max_size=100))
    every = [costs(1, 400), costs(1, 90), costs(1, 80), costs(1, 300)]
    losses = [0.0, 0.02, 0.01, 0.0]
    assert chosen(limits, every, losses, last=1) == 1  # all steps are worth it, and keep it
    assert chosen(limits, every, losses, last=3) == 2
    assert chosen(limits, [every[0], every[3]], [0.0, 0.0], last=0) == 1


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(tmp_path_factory.mktemp("network") / "c", epochs=3)


def test_steps_end_where_the_limit_is_kept(network: Bundle, tmp_path: Path) -> None:
    size = (network.folder / "model.onnx").stat().st_size
    most = int(0.7 * size)
    found = pawl.compress(network, rows(1000, 1), max_loss="8%", max_size=most, out=tmp_path / "a")
    assert found.is_changed
    assert found.final.size_bytes <= most
    assert not found.missed
    # Quantizing is enough: nothing was trained for it.
    assert {step.step for step in found.steps} <= {"graph", "int8", "float16"}
    made = json.loads((tmp_path / "a" / "compress.json").read_text())
    assert made["limited"]
    kept = pawl.compress(network, rows(1000, 1), max_size=size, out=tmp_path / "b")
    assert (kept.steps, kept.is_changed) == ((), False)
    assert kept.statement == "The bundle keeps within the limits: it was left as it was."


def test_memory_that_no_model_can_keep_names_what_there_is_without_one(
    network: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(
        LimitError, match=r"max_memory='2MB': the nearest takes [\d,]+ bytes, [\d,]+ of"
    ):
        pawl.compress(network, rows(1000, 1), max_loss="8%", max_memory="2MB", out=tmp_path / "m")
    record = json.loads((tmp_path / "m" / "compress.json").read_text())
    assert record["final"]["memory_bytes"] > 10_000_000


SMALL: dict[str, Any] = {
    "trials": 2, "epochs": 1, "families": ["nets"], "ensemble": "none", "average": 1, "max_loss": 0.2,
}  # fmt: skip


def test_a_campaign_whose_limits_no_model_keeps_loses_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "rows.csv"
    frame(700).to_csv(data, index=False)
    out = tmp_path / "out"
    with pytest.raises(
        LimitError, match=r"max_size='300b': the nearest has [\d,]+ bytes"
    ) as caught:
        pawl.optimize(data, out=out, max_size="300b", **SMALL)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    whole, nearest = Bundle.open(out), Bundle.open(out / "nearest")
    assert (out / "report.html").is_file()
    small, large = ((b.folder / "model.onnx").stat().st_size for b in (nearest, whole))
    assert small < 0.7 * large
    assert "compressed" in nearest.task
    assert "compressed" not in whole.task
    part = load_result(out).summary.parts["limits"]
    assert part["missed"]
    assert part["original"]["size_bytes"] == large
    assert part["final"]["size_bytes"] == small
    with Ledger.open(out) as ledger:
        assert ledger.test_touches == 2
    # Finished as it is, it says the same again, and what there is is shown.
    code, text, error = run(capfd, "optimize", "--resume", out)
    assert code == 3
    assert "not kept: --max-size" not in text  # as it was said then
    assert "limits   not kept: max_size='300b'" in text
    assert "no model that is shown to lose less than" in error.strip().splitlines()[-1]


def test_what_may_be_lost_needs_a_limit(tmp_path: Path) -> None:
    with pytest.raises(
        TaskError, match=r"got max_loss='1%' without a limit; .* max_latency=, max_size="
    ):
        pawl.optimize("digits", max_loss="1%", trials=1, out=tmp_path / "out")
    with pytest.raises(TaskError, match=r"got max_memory='few'; write it as 1MB or 500kB"):
        pawl.optimize("digits", max_memory="few", trials=1, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_campaign_that_keeps_its_limits_repeats(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    for out in folders:
        result = pawl.optimize(frame(700), out=out, max_size="15kB", **SMALL)
        part = result.summary.parts["limits"]
        assert (part["missed"], part["changed"]) == ([], True)
        assert (out / "bundle" / "model.onnx").stat().st_size <= 15_000
        assert (out / "uncompressed" / "model.onnx").stat().st_size > 15_000
        assert "Limits" in (out / "report.html").read_text()
        assert len(result.predict(frame(20))) == 20
    first, second = (load_result(out).summary for out in folders)
    assert first.ledger_digest == second.ledger_digest
    graphs = [(out / "bundle" / "model.onnx").read_bytes() for out in folders]
    assert graphs[0] == graphs[1]
