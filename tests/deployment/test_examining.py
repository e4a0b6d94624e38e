"""`pawl doctor BUNDLE`: whether a bundle does here what it did where it was made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from bundles_to_compress import bundle_of, rows
from safetensors.torch import load, save
from terminal import run_here as run

from pawl.deployment import Bundle, memory
from pawl.deployment.bundle import FILES, MANIFEST, manifest_of
from pawl.deployment.examining import examine_bundle
from pawl.deployment.records import CHECK, MEASURED
from pawl.environment import cpu_features
from pawl.errors import BundleError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(tmp_path_factory.mktemp("examined") / "c", epochs=1).folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def rewritten(folder: Path, **changed: bytes) -> None:
    """Changes files, and the manifest with them."""
    content = {name: (folder / name).read_bytes() for name in FILES}
    content |= {name.replace("__", "."): data for name, data in changed.items()}
    for name, data in content.items():
        (folder / name).write_bytes(data)
    (folder / MANIFEST).write_bytes(manifest_of(content))


def test_a_whole_bundle_is_told_with_what_it_takes_here(
    made: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, text, _ = run(capfd, "doctor", made)
    assert code == 0
    assert "16 stored rows are predicted within" in text
    assert "ms here (95%" in text
    found = examine_bundle(made)
    assert all(check["ok"] for check in found["checks"])
    assert found["here"]["latency_ms"]["ms"] > 0


def test_what_it_cost_elsewhere_is_held_against_here(copy: Path) -> None:
    there = {"latency_ms": 1e-9, "batch_latency_ms": 1e9, "batch_rows": 8,
             "cpu_features": [*cpu_features(), "warp_drive"]}  # fmt: skip
    rewritten(copy, measured__json=json.dumps(there).encode())
    checks = examine_bundle(copy)["checks"]
    slower, faster = (check for check in checks if check["name"] == "latency")
    assert (slower["ok"], faster["ok"]) == (False, True)
    assert "8 rows" in faster["detail"]
    (processor,) = (check for check in checks if check["name"] == "processor")
    assert "warp_drive, which this one lacks" in processor["detail"]
    assert not processor["needed"]


def test_predictions_that_differ_here_fail(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tensors = load((copy / CHECK).read_bytes())
    tensors["prediction"] = tensors["prediction"] * 1.01
    rewritten(copy, check__safetensors=save(tensors))
    code, text, _ = run(capfd, "doctor", copy)
    assert code == 1
    assert "FAILS" in text
    assert "parity" in text


def test_stored_rows_that_have_no_prediction_say_nothing(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = load((copy / CHECK).read_bytes())
    tensors["prediction"] = torch.full_like(tensors["prediction"], torch.nan)
    rewritten(copy, check__safetensors=save(tensors))
    lacking = tensors["prediction"].numpy()
    monkeypatch.setattr("pawl.deployment.examining.predict", lambda *_: lacking)
    (parity,) = (each for each in examine_bundle(copy)["checks"] if each["name"] == "parity")
    assert (parity["ok"], parity["needed"]) == (False, False)
    assert "says nothing: all predictions of the 16 stored rows" in parity["detail"]


def test_a_changed_byte_a_missing_file_and_a_newer_version_are_one_line(
    copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(words: str) -> None:
        code, text, error = run(capfd, "doctor", copy)
        assert (code, text) == (2, "")
        assert words in error
        assert error.strip().count("\n") == 0

    whole = (copy / CHECK).read_bytes()
    (copy / CHECK).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused("check.safetensors' has changed since the bundle was written")
    (copy / CHECK).unlink()
    refused("lacks check.safetensors")
    (copy / CHECK).write_bytes(whole)
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps({**manifest, "format": 99}))
    refused("of a newer version of pawl (format 99; this one reads up to 3)")
    code, _, error = run(capfd, "doctor", copy, "--plan", "digits")
    assert code == 2
    assert "got a bundle and --plan digits" in error


def test_bundles_of_the_version_before_are_read(copy: Path) -> None:
    former = {n: (copy / n).read_bytes() for n in FILES if n not in (CHECK, MEASURED)}
    (copy / CHECK).unlink()
    (copy / MEASURED).unlink()
    manifest = json.loads(manifest_of(former))
    (copy / MANIFEST).write_text(json.dumps({**manifest, "format": 2}))
    assert len(Bundle.open(copy).predict(rows(5, 1))) == 5
    (parity,) = (check for check in examine_bundle(copy)["checks"] if check["name"] == "parity")
    assert "older than stored rows" in parity["detail"]
    (copy / MANIFEST).write_text(json.dumps({**manifest, "format": 3}))
    with pytest.raises(BundleError, match="of another version of pawl"):
        Bundle.open(copy)


def test_memory_is_what_a_fresh_process_takes(made: Path) -> None:
    bundle = Bundle.open(made)
    found = memory((made / "model.onnx").read_bytes(), bundle.read(rows(4, 1)), batch=8)
    assert 10e6 < found.bare < found.peak < 1e9
    with pytest.raises(BundleError, match="memory that a model takes cannot be measured"):
        memory(b"no graph", bundle.read(rows(4, 1)))
