"""From a bundle back to modules: with the same predictions, and without the training rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from problems import (
    VGG,
    Functional,
    Words,
    frame,
    images,
    member,
    plain,
    pretrained,
    pretrained_images,
    problem,
    stack,
)
from safetensors.torch import save_file
from techniques.table import ROWS
from torch import nn
from user_nets import LSTMClassifier
from user_nets_of_sequences import AnnotatedEncoder

from pawl.data import load
from pawl.deployment import Bundle, write_bundle
from pawl.deployment.bundle import MANIFEST, manifest_of
from pawl.deployment.rebuilding import rebuilt
from pawl.deployment.records import stored_rows
from pawl.errors import BundleError
from pawl.execution import Job, Plan, TrainingWay, train_all
from pawl.ledger import Ledger
from pawl.models import Averaged
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.techniques import Stage, techniques
from pawl.training.problem import Problem
from pawl.training.trained import blended, from_outcome, untrained

RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {},
    "bins": {"piecewise_linear": {"bins": 8}, "ema": {}, "dropout": {}},
    "many": {"tabm": {"members": 8}, "layer_norm": {}, "depth": {"layers": 3}, "normalize": {}},
}


def bundle(task: Task, folder: Path, *recipes: Recipe) -> Bundle:
    data = load(task)
    problem = Problem.of(task, data)
    chosen = Plan(TrainingWay("serial", 1), "for the test")
    jobs = [Job(member(recipe, n, epochs=2), keep=True) for n, recipe in enumerate(recipes)]
    results = train_all(problem, jobs, lambda _: chosen)
    predictor = blended([from_outcome(problem, result.outcome) for result in results])
    graph = predictor.graph(data.development.take(torch.arange(4)))
    with Ledger.create(folder, {}) as ledger:
        return write_bundle(
            ledger, schema=data.schema, graph=graph, predictor=predictor,
            recipe=recipes[0].to_toml(), task={}, card="# a card\n",
        )  # fmt: skip


def same(found: Bundle, source: Any, model: Any = None) -> nn.Module:
    module = found.module(model)
    rows = found.read(source)
    with torch.no_grad():
        got = module(*rows.inputs.values()).numpy()
    np.testing.assert_allclose(got, found.predict_raw(rows), rtol=1e-3, atol=1e-4)
    assert not module.training
    return module


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("regression", [False, True])
def test_a_tables_model_is_built_from_its_bundle_alone(
    name: str, regression: bool, tmp_path: Path
) -> None:
    table = frame(regression=regression)
    recipe = plain(**{k: v for k, v in RECIPES[name].items() if k != "normalize"})
    if "normalize" in RECIPES[name]:
        recipe = recipe.without("standardize") if "standardize" in recipe else recipe
        recipe = recipe.with_("normalize")
    same(bundle(Task(data=table), tmp_path / "out", recipe), table)


def test_of_several_models_too_and_of_images(tmp_path: Path) -> None:
    data = images()
    found = bundle(Task(data=data), tmp_path / "out", plain(), plain(batch_norm={}), plain())
    module = same(found, data[0])
    assert isinstance(module, Averaged)
    assert len(module.members) == 3


def test_a_users_model_needs_what_makes_it(tmp_path: Path) -> None:
    table = frame()
    found = bundle(Task(data=table, model=Functional), tmp_path / "out", plain())
    module = same(found, table, Functional)
    assert any(isinstance(each, Functional) for each in module.modules())
    with pytest.raises(BundleError, match="the model that the campaign was given"):
        found.module()

    class Other(Functional):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    with pytest.raises(BundleError, match="does not predict what the bundle does"):
        found.module(Other)


class Masked(nn.Module):
    """Attends to ids that are not 0: a row of zeros has none."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.table(ids)
        return self.head(self.attention(x, x, x, key_padding_mask=ids == 0)[0].mean(1))


@pytest.mark.parametrize("old", [False, True])
def test_ids_with_a_padding_mask_are_made_up_as_they_were_seen(old: bool, tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 9, (400, 12))
    recipe = Recipe.of(adamw={"learning_rate": 0.01}, batch_size={"size": 32})
    task = Task(data=(ids, np.arange(400) % 2), model=Masked)
    assert load(task).schema.inputs[0].span == (0, 8)
    found = bundle(task, tmp_path / "out", recipe)
    if old:  # without a span, ids are made up as zeros, of which nothing can be predicted
        path = found.folder / "task.json"
        content = json.loads(path.read_text())
        for each in content["schema"]["inputs"]:
            del each["span"]
        path.write_text(json.dumps(content))
        files = {p.name: p.read_bytes() for p in found.folder.iterdir() if p.name != MANIFEST}
        (found.folder / MANIFEST).write_bytes(manifest_of(files))
        found = Bundle.open(found.folder)
        same(found, ids, Masked)
        return
    same(found, ids, Masked)
    rows, expected = stored_rows(found.folder) or pytest.fail("there are none")
    assert rows.inputs["x"].unique().tolist() == list(range(9))
    assert np.isfinite(expected).all()


def test_weights_without_what_made_them_are_refused(tmp_path: Path) -> None:
    found = bundle(Task(data=frame()), tmp_path / "out", plain())
    save_file({"x": torch.zeros(2)}, found.folder / "model.safetensors")
    files = {p.name: p.read_bytes() for p in found.folder.iterdir() if p.name != MANIFEST}
    (found.folder / MANIFEST).write_bytes(manifest_of(files))
    with pytest.raises(BundleError, match=r"model.safetensors' cannot be read") as caught:
        Bundle.open(found.folder).module()
    assert "\n" not in str(caught.value)


FACTORIES = {
    "attending": AnnotatedEncoder,
    "own_images": VGG,
    "pretrained": pretrained,
    "pretrained_images": pretrained_images,
    "recurrent": LSTMClassifier,
    "stack": stack,
    "words": Words,
}
BUILDING = [t.name for t in techniques() if t.stage in (Stage.DATA, Stage.MODEL)]


@pytest.mark.parametrize("name", BUILDING)
def test_what_any_technique_builds_is_built_again(name: str, tmp_path: Path) -> None:
    """With two settings of its row, from made-up rows and the weights of others.

    Both are in one bundle: where they differ in values alone, they are traced once.
    """
    row = ROWS[name]
    one = problem(row.accepts)
    each = []
    for place, settings in enumerate(row.settings[:2]):
        fresh = untrained(one, plain().with_(name, **settings), place, member(plain()).train)
        with torch.no_grad():
            for weights in fresh.model.parameters():
                weights.add_(0.1 * torch.randn_like(weights))
        each.append(fresh)
    both = blended(each)
    graph = both.graph(one.examples.take(torch.arange(4)))
    file = tmp_path / "weights.safetensors"
    file.write_bytes(both.to_safetensors())
    again = rebuilt(one.schema, graph, str(file), FACTORIES.get(row.accepts))
    assert isinstance(again, Averaged)
    rows = one.examples.take(torch.arange(40))
    for found, fresh in zip(again.members, each, strict=True):
        with torch.no_grad():
            got = found(*(rows.inputs[one_input] for one_input in again.names))
        torch.testing.assert_close(
            got, fresh.predict(rows, torch.device("cpu")), rtol=1e-4, atol=1e-5
        )
