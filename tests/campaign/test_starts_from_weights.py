"""Weights from the command's face to a bundle: files, bundles of the same and of other tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundles import bundle_of
from campaigns import StopAt, StoppedError
from problems import colors, frame, images, plain, problem_of
from safetensors import safe_open
from torch import Tensor, nn

from pawl import Recipe, Task, api, compare, pacing, train
from pawl.deployment import Bundle
from pawl.errors import BundleError, LedgerError, TaskError

RECIPE = plain().with_("adamw")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing.sizes, "_STEPS", 20)


def weights_of(folder: Path) -> dict[str, Tensor]:
    with safe_open(folder / "bundle" / "model.safetensors", framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def two_classes() -> tuple[np.ndarray, np.ndarray]:
    pixels, targets = images()
    return pixels, np.where(targets > 0, "low", "high")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of pawl's own network, changed by its recipe, for colored images of three classes."""
    folder = tmp_path_factory.mktemp("first") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pacing.sizes, "_STEPS", 20)
        recipe = RECIPE.with_("batch_norm").with_("width", factor=0.5)
        train(colors(), recipe, out=folder)
    return folder


def test_a_bundle_starts_another_task_and_the_next_bundle_another(
    first: Path, tmp_path: Path
) -> None:
    recipe = RECIPE.with_("linear_probe")
    second = train(two_classes(), recipe, out=tmp_path / "second", weights=first)
    (note,) = [each for each in second.notes if "starts from" in each]
    assert "100.0% of the body loaded" in note
    assert "blocks.0.layer.weight summed from 3 input channels to 1" in note
    assert "out is new, with 2 output(s)" in note
    before, after = weights_of(first), weights_of(tmp_path / "second")
    same = "blocks.1.layer.weight"  # a probe leaves the body as it was
    assert torch.equal(after[f"body.module.{same}"], before[f"body.{same}"])
    bundle = Bundle.open(second.folder)
    rows = images()[0][:5]
    frame_ = bundle.predict(rows)
    assert list(frame_["prediction"].isin(["low", "high"])) == [True] * 5
    module, examples = bundle.module(), bundle.read(rows)
    with torch.no_grad():
        got = module(*(examples.inputs[name] for name in module.names)).numpy()
    np.testing.assert_allclose(got, bundle.predict_raw(examples), atol=1e-4)
    third = problem_of(Task(data=two_classes(), weights=second.folder))
    assert "100.0% of the body loaded" in third.notes[0]
    assert "is new" not in third.notes[0]  # the classes are the same
    assert third.start is not None
    assert len(third.start["structure"]) == 2


def test_columns_of_another_table_go_by_name(tmp_path: Path) -> None:
    bundle = bundle_of(Task(data=frame()), tmp_path / "out")
    other = frame()[["shape", "noise", "color", "size", "age", "target"]]
    other["color"] = other["color"].replace({"red": "aqua"})
    own = problem_of(Task(data=frame(), weights=bundle)).builder(0)
    moved = problem_of(Task(data=other, weights=bundle)).builder(0)
    # Numbers in the order of the file: size, age, noise, then noise, size, age.
    one, two = own.module.stem.layer.weight, moved.module.stem.layer.weight
    assert torch.equal(two[:, :3], one[:, [2, 0, 1]])
    assert torch.equal(own.module.out.weight, moved.module.out.weight)
    assert not torch.equal(own.module.embedding.weight, moved.module.embedding.weight)


class Small(nn.Module):
    def __init__(self, outputs: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(4, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).flatten(1))


def test_a_file_starts_a_model_of_the_users_and_its_bundle_needs_that_model(tmp_path: Path) -> None:
    torch.save({f"module.{n}": x for n, x in Small().state_dict().items()}, tmp_path / "a.pt")
    task = Task(data=images(), model=Small, weights=tmp_path / "a.pt")
    found = train(task, RECIPE.with_("low_rank_adapters"), out=tmp_path / "out")
    assert any("'module.' taken off names; head is new" in note for note in found.notes)
    bundle = Bundle.open(found.folder)
    assert bundle.task["start"]["head"] == "module.head"
    assert bundle.module(Small) is not None
    with pytest.raises(TaskError, match=r"a model of your own; give the module\.py"):
        problem_of(Task(data=images(), weights=found.folder))
    again = problem_of(Task(data=images(), model=Small, weights=found.folder))
    assert "100.0% of the body loaded" in again.notes[0]  # the products added to the weights


def test_a_damaged_bundle_is_refused(first: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for file in (first / "bundle").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    task = json.loads((folder / "task.json").read_text())
    (folder / "task.json").write_text(json.dumps({**task, "name": "other"}))
    with pytest.raises(BundleError, match="not what the bundle was written with"):
        problem_of(Task(data=colors(), weights=folder))
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match="is not a bundle"):
        problem_of(Task(data=colors(), weights=folder))


def test_a_bundle_of_other_inputs_is_refused(first: Path) -> None:
    with pytest.raises((BundleError, TaskError)) as caught:
        problem_of(Task(data=frame(), weights=first))
    assert "\n" not in str(caught.value)


def test_a_start_is_compared_with_none(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save = dict(Small().state_dict())
    both: list[Recipe] = [RECIPE.with_("from_scratch"), RECIPE]
    task = Task(data=images(), model=Small)
    found = compare(task, *both, weights=save, pairs=5, epochs=1)
    assert found.comparison.n == 5
    with pytest.raises(TaskError, match="random weights"):
        compare(Task(data=images(), model=lambda: Small(3)), *both, pairs=5, epochs=1)


def test_a_campaign_goes_on_from_the_weights_that_it_was_started_with(tmp_path: Path) -> None:
    module = tmp_path / "task.py"
    module.write_text(
        "import numpy as np, torch\nfrom pawl import Task\n"
        "x = np.random.default_rng(0).normal(size=(160, 3)).astype('float32')\n"
        "def model():\n"
        "    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))\n"
        "task = Task(data=(x, (x[:, 0] > 0).astype(int)), model=model, weights='w.pt')\n"
    )
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    torch.save(net.state_dict(), tmp_path / "w.pt")
    given: dict[str, Any] = {"listener": StopAt("test")}
    out = tmp_path / "out"
    with pytest.raises(StoppedError):
        api.optimize(str(module), trials=1, epochs=1, out=out, **given)
    torch.save({name: x + 1.0 for name, x in net.state_dict().items()}, tmp_path / "w.pt")
    with pytest.raises(LedgerError, match="the task's weights is not what"):
        api.optimize(resume=out, **given)
