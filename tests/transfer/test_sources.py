"""Weights from files: what is read, and that nothing of a file is ever run."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pawl.errors import BundleError, TaskError
from pawl.transfer import print_of, read_weights

WEIGHTS = {"fc.weight": torch.arange(6.0).view(2, 3), "fc.bias": torch.zeros(2)}


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.file}",)


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == WEIGHTS.keys() and all(
        torch.equal(found[name], tensor) for name, tensor in WEIGHTS.items()
    )


def test_safetensors_are_read_whatever_the_file_is_called(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "weights.bin")
    assert same(read_weights(tmp_path / "weights.bin").tensors)


def test_the_folder_that_a_package_saved_a_model_to_is_read(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    assert same(read_weights(tmp_path).tensors)
    assert print_of(tmp_path) == print_of(WEIGHTS)
    (tmp_path / "task.json").write_text("{}")  # a bundle whose manifest is gone is damaged
    with pytest.raises(BundleError, match="is not a bundle"):
        read_weights(tmp_path)


def test_a_model_in_parts_is_read_as_one_and_a_part_that_lacks_is_named(tmp_path: Path) -> None:
    for file, name in (("one.safetensors", "fc.weight"), ("two.safetensors", "fc.bias")):
        save_file({name: WEIGHTS[name]}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    places = {"fc.weight": "one.safetensors", "fc.bias": "two.safetensors"}
    index.write_text(json.dumps({"weight_map": places}))
    assert same(read_weights(tmp_path).tensors)
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(TaskError, match=r"two\.safetensors' is missing"):
        read_weights(tmp_path)
    index.write_text("{}")
    with pytest.raises(TaskError, match="cannot be read"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("kept", "note"),
    [
        (WEIGHTS, ()),
        ({"epoch": 3, "state_dict": WEIGHTS}, ("taken from 'state_dict'",)),
        (
            {"checkpoint": 1, "model": {"params": WEIGHTS}},
            ("taken from 'model'", "taken from 'params'"),
        ),
        ({"model": {"x": torch.zeros(1)}, "model_ema": WEIGHTS}, ("taken from 'model_ema'",)),
    ],
)
def test_a_state_dict_is_taken_out_of_what_is_around_it(
    kept: dict[str, Any], note: tuple[str, ...], tmp_path: Path
) -> None:
    torch.save(kept, tmp_path / "weights.pt")
    found = read_weights(str(tmp_path / "weights.pt"))
    assert same(found.tensors)
    assert found.notes == note


def test_a_mapping_of_tensors_or_arrays_is_taken() -> None:
    arrays = {name: tensor.numpy() for name, tensor in WEIGHTS.items()}
    assert same(read_weights(arrays).tensors)
    assert same(read_weights({**WEIGHTS, "step": 3}).tensors)


@pytest.mark.parametrize("save", [torch.save, lambda x, f: f.write_bytes(pickle.dumps(x))])
def test_a_pickle_that_would_run_code_is_refused_and_never_run(save: Any, tmp_path: Path) -> None:
    file, trace = tmp_path / "weights.pt", tmp_path / "was-run"
    save({"fc.weight": Runs(trace)}, file)
    with pytest.raises(TaskError, match="refused and nothing of it was run"):
        read_weights(file)
    assert not trace.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(3, 2)), tmp_path / "net.pt")
    with pytest.raises(TaskError, match=r"asks for torch\.nn.*state_dict\(\)"):
        read_weights(tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "neither a safetensors file nor one of PyTorch's"),
        (b"weights", "neither a safetensors file nor one of PyTorch's"),
        (b"PK\x03\x04 cut off", "cannot be read"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(TaskError, match=said) as caught:
        read_weights(tmp_path / "weights.pt")
    assert "weights.pt" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("no/such/file.pt", "there are no weights at"),
        (7, "of type int"),
        ({}, "holds no tensors"),
        ({"a": "text", "b": np.array(["x"])}, "holds no tensors"),
        ({"a": torch.tensor([1.0, float("nan")])}, "not finite in 'a'"),
    ],
)
def test_what_holds_no_weights_is_refused(given: Any, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        read_weights(given)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="is not a bundle"):
        read_weights(tmp_path)


def test_a_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "a.pt")
    torch.save({**WEIGHTS, "fc.bias": torch.ones(2)}, tmp_path / "b.pt")
    assert print_of(None) is None
    assert print_of(tmp_path / "a.pt") != print_of(tmp_path / "b.pt")
    changed = {**WEIGHTS, "fc.bias": torch.ones(2), "count": torch.tensor(3)}
    assert print_of(WEIGHTS) == print_of(dict(reversed(WEIGHTS.items()))) != print_of(changed)
