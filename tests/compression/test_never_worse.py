"""Modules and limits of many kinds: each leaves a model that keeps what was asked, or says why not."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from bundles import bundle_of
from bundles_to_compress import bundle_of as blend_of
from problems import frame, plain
from torch import Tensor, nn
from user_nets import NETS

import pawl
from pawl import Task
from pawl.compression import trainable, tuning, units
from pawl.data import ModelSpec
from pawl.deployment import Bundle
from pawl.errors import LimitError
from pawl.pacing import sizes
from pawl.recipe import Recipe

TRAINED, GIVEN = 200, 800


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_STEPS", 8)
    monkeypatch.setattr(tuning, "_STEPS", 4)
    monkeypatch.setattr(units, "_ROUNDS", 3)
    monkeypatch.setattr(trainable, "_STEPS", 4)


class OneLayer(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.only = nn.Linear(spec.num_features, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.only(x)


class Branching(nn.Module):
    """Goes by shapes and values in plain Python, which symbolic tracing does not follow."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.low, self.high = nn.Linear(spec.num_features, 16), nn.Linear(spec.num_features, 16)
        self.out = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        layers = {False: self.low, True: self.high}
        hidden = layers[x.shape[-1] > 2](x)
        if x.dim() == 2 and x.shape[1] > 1:
            hidden = torch.where(x[:, :1] > 0, hidden, self.low(x))
        return self.out(torch.tanh(hidden))


class Tuples(nn.Module):
    """Layers that hand on several values, and a weight that is used without its layer."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.inner = nn.Linear(spec.num_features, 32)
        self.back = nn.Linear(32, spec.num_features)
        self.out = nn.Linear(32, spec.num_outputs)

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.relu(self.inner(x))
        return hidden, nn.functional.linear(self.back(hidden), self.inner.weight)

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.both(x)
        return self.out(one + two)


class Wide(nn.Module):
    """Computes in 64 bits, with times that 32 would round."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.inner = nn.Linear(spec.num_features, 32).double()
        self.out = nn.Linear(32, spec.num_outputs).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(
            torch.relu(self.inner(x.double() + 1.7e9) - self.inner.bias - 1.7e9)
        ).float()


class Recurrent(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.first = nn.Linear(spec.num_features, 24)
        self.cells = nn.GRU(8, 16, batch_first=True)
        self.out = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.cells(self.first(x).view(-1, 3, 8))
        return self.out(steps[:, -1])


class Tokens(nn.Module):
    """An encoder of PyTorch's own over the columns of a table."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.embed = nn.Linear(1, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)
        self.out = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.encoder(self.embed(x.unsqueeze(-1))).mean(1))


def shapes(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of 8 by 8 pixels with a bright half."""
    generator = np.random.default_rng(seed)
    target = generator.integers(0, 3, rows)
    x = generator.normal(0, 0.6, (rows, 1, 8, 8)).astype(np.float32)
    for row, label in enumerate(target):
        x[row, 0, :, [slice(0, 4), slice(4, 8), slice(2, 6)][label]] += 1.0
    return x, target


def table(rows: int, seed: int = 0, *, regression: bool = False) -> pd.DataFrame:
    whole = frame(rows * (seed + 1), regression=regression)
    return whole.iloc[rows * seed :].reset_index(drop=True)


Made = Callable[[Path], tuple[Bundle, Any, Any]]


def of_table(model: Any = None, **options: Any) -> Made:
    def made(folder: Path) -> tuple[Bundle, Any, Any]:
        task = Task(data=table(TRAINED, **options), model=model)
        metric = "rmse" if options else "accuracy"
        return (
            Bundle.open(bundle_of(task, folder, metric, epochs=2)),
            table(GIVEN, 1, **options),
            model,
        )

    return made


def of_images(name: str) -> Made:
    def made(folder: Path) -> tuple[Bundle, Any, Any]:
        task = Task(data=shapes(TRAINED), model=NETS[name])
        return (
            Bundle.open(bundle_of(task, folder, "accuracy", epochs=2)),
            shapes(GIVEN, 1),
            NETS[name],
        )

    return made


def of_recipes(*recipes: Recipe, seeds: int = 1) -> Made:
    def made(folder: Path) -> tuple[Bundle, Any, Any]:
        bundle = blend_of(folder, recipes, seeds=seeds, count=TRAINED, epochs=2, metric="accuracy")
        return Bundle.open(bundle.folder), table(GIVEN, 1), None

    return made


Limits = dict[str, Any]
NO_LIMIT: Limits = {}
CASES: dict[str, tuple[Made, Limits]] = {
    "one layer": (of_table(OneLayer), NO_LIMIT),
    "one layer, half the size": (of_table(OneLayer), {"max_size": 0.5}),
    "branches on values": (of_table(Branching), NO_LIMIT),
    "tuples and a tied weight": (of_table(Tuples), {"max_size": 0.6}),
    "weights of 64 bits": (of_table(Wide), {"max_size": 0.6}),
    "recurrent": (of_table(Recurrent), NO_LIMIT),
    "recurrent, out of reach": (of_table(Recurrent), {"max_size": 0.01}),
    "transformer of PyTorch's": (of_table(Tokens), {"max_size": 0.7}),
    "pawl's own": (of_recipes(plain()), {"max_latency": 2.0}),
    "pawl's own, memory": (of_recipes(plain()), {"max_memory": "2GB"}),
    "deep, with norms": (of_recipes(plain(batch_norm={}, residual={}, depth={"layers": 3})), NO_LIMIT),
    "trees": (of_recipes(Recipe.of(lightgbm={"rounds": 10})), {"max_size": 0.5}),
    "trees and networks": (of_recipes(plain(), Recipe.of(lightgbm={"rounds": 10})), {"max_size": 0.5}),
    "several networks": (of_recipes(plain(), seeds=3), {"max_size": 0.4}),
    "values": (of_table(regression=True), {"max_size": 0.3}),
    "residual images": (of_images("resnet"), {"max_size": 0.4}),
    "depthwise": (of_images("mobilenet"), {"max_size": 0.5}),
    "dense shortcuts": (of_images("densenet"), NO_LIMIT),
    "vision transformer": (of_images("vit"), {"max_size": 0.5}),
    "stock attention, out of reach": (of_images("stock_vit"), {"max_latency": 1e-4}),
    "normed convolutions": (of_images("convnext"), {"max_size": 0.5}),
    "lstm over rows": (of_images("lstm"), {"max_size": 0.5}),
    "convolutions in time": (of_images("tcn"), NO_LIMIT),
}  # fmt: skip
FAST = ("one layer, half the size", "tuples and a tied weight")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=() if c in FAST else pytest.mark.slow) for c in CASES]
)
def test_what_is_left_keeps_the_limit_or_is_named_and_never_loses_more(
    case: str, tmp_path: Path
) -> None:
    make, limits = CASES[case]
    bundle, data, model = make(tmp_path / "campaign")
    whole = (bundle.folder / "model.onnx").stat().st_size
    wanted = dict(limits)
    if "max_size" in wanted:
        wanted["max_size"] = int(wanted["max_size"] * whole)
    reason = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pawl.compress(
                bundle, data, max_loss="15%", out=tmp_path / "small", model=model, **wanted
            )
        except LimitError as error:
            reason = str(error)
    left = Bundle.open(tmp_path / "small")
    record = json.loads((tmp_path / "small" / "compress.json").read_text())
    size = (left.folder / "model.onnx").stat().st_size
    # Every step was kept, or has a reason in one line.
    assert all(step["reason"] and "\n" not in step["reason"] for step in record["steps"])
    kept = [step for step in record["steps"] if step["accepted"]]
    for step in kept:
        assert step["loss_at_most"] < record["allowed"]
    if not kept:
        assert (left.folder / "model.onnx").read_bytes() == (
            bundle.folder / "model.onnx"
        ).read_bytes()
    else:
        assert size == record["final"]["size_bytes"]
    if reason:
        assert "nearest" in reason
        assert "\n" not in reason
        assert "out of reach" in case or "max_size" in wanted
    elif "max_size" in wanted:
        assert size <= wanted["max_size"]
    predicted = left.predict(data)
    assert isinstance(predicted, pd.DataFrame)
    assert len(predicted) == GIVEN
    assert predicted.notna().all().all()
