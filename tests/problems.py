"""Small problems to train on, one per kind of task that a technique may or may not fit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from user_nets import VGG, LSTMClassifier
from user_nets_of_sequences import AnnotatedEncoder

from pawl.data import ModelSpec, load
from pawl.recipe import Recipe
from pawl.task import Task
from pawl.training.population import Member
from pawl.training.problem import Problem

# Tensors are tiny here: more threads only wait for each other, above all on a busy machine.
torch.set_num_threads(1)

ROWS = 160
TRAIN = 96
VALID = 24


def frame(rows: int = ROWS, *, regression: bool = False) -> pd.DataFrame:
    """Two useful numbers, one of them with gaps, noise, two columns of categories, a target."""
    generator = np.random.default_rng(7)
    size = generator.normal(size=rows)
    age = generator.normal(3.0, 2.0, size=rows)
    color = generator.choice(["red", "green", "blue"], rows)
    signal = size + 0.5 * age + (color == "red") + 0.3 * generator.normal(size=rows)
    table = pd.DataFrame(
        {
            "size": size,
            "age": np.where(generator.random(rows) < 0.2, np.nan, age),
            "noise": 50 * generator.normal(size=rows),
            "color": color,
            "shape": generator.choice(["round", "square"], rows),
        }
    )
    table["target"] = 100 + 10 * signal if regression else np.where(signal > 2, "yes", "no")
    return table


def several(rows: int = ROWS, *, labels: bool = False) -> pd.DataFrame:
    """The same with three targets: quantities of unlike sizes, or labels."""
    table = frame(rows, regression=True)
    first = (table.pop("target") - 100) / 10
    generator = np.random.default_rng(3)
    noise = generator.normal(size=(rows, 2))
    values = {
        "near": first,
        "far": 1000 - 200 * table["size"] + 40 * noise[:, 0],
        "odd": 0.01 * (first + (table["color"] == "blue")) + 0.002 * noise[:, 1],
    }
    for name, value in values.items():
        table[name] = np.where(value > value.median(), "on", "off") if labels else value
    return table


def images(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Gray images of 8 by 8 pixels in three classes that differ in where they are bright."""
    generator = np.random.default_rng(11)
    targets = generator.integers(0, 3, rows)
    pixels = generator.integers(0, 120, (rows, 1, 8, 8))
    for row, target in enumerate(targets):
        pixels[row, :, 2 * target : 2 * target + 3, 1:4] += 120
    return pixels.astype(np.uint8), targets


def colors(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """The same images in color, each class in one of its own."""
    pixels, targets = images(rows)
    found = np.repeat(pixels, 3, axis=1)
    for row, target in enumerate(targets):
        found[row, target] //= 2
    return found, targets


def reviews(rows: int = ROWS) -> pd.DataFrame:
    """Texts that are good or bad by a few words among many, a number that helps, a target."""
    generator = np.random.default_rng(5)
    filler = [f"{a}{b}" for a in ("la", "mo", "ti", "ru") for b in ("na", "ke", "so", "di", "pu")]
    said = {True: ["wonderful", "moving", "superb"], False: ["dull", "tedious", "awful"]}
    texts, targets = [], generator.random(rows) < 0.5
    for good in targets:
        words = list(generator.choice(filler, generator.integers(6, 20)))
        for word in generator.choice(said[bool(good)], 2):
            words.insert(int(generator.integers(0, len(words))), word)
        texts.append(" ".join(words).capitalize() + ".")
    length = targets + generator.normal(size=rows)
    label = np.where(targets, "good", "bad")
    return pd.DataFrame({"review": texts, "length": length, "target": label})


def waves(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Two channels over 20 steps: one of noise, one with a bump that is narrow or wide."""
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, rows)
    places = generator.integers(4, 16, rows)[:, None]
    widths = np.where(targets, 3.0, 0.8)[:, None]
    bumps = 3 * np.exp(-(((np.arange(20) - places) / widths) ** 2))
    both = np.stack([bumps, np.zeros_like(bumps)], axis=2)
    return (both + 0.3 * generator.normal(size=both.shape)).astype(np.float32), targets


class Functional(nn.Module):
    """A user's model without activation modules."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.first = nn.Linear(spec.num_features, 16)
        self.second = nn.Linear(16, spec.num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.relu(self.first(x)))


def bare(spec: ModelSpec) -> nn.Module:
    """A user's model without any activation."""
    return nn.Linear(spec.num_features, spec.num_outputs)


def modular(spec: ModelSpec) -> nn.Module:
    """A user's model with an activation module."""
    return nn.Sequential(
        nn.Linear(spec.num_features, 16), nn.ReLU(), nn.Linear(16, spec.num_outputs)
    )


def pretrained(spec: ModelSpec) -> nn.Module:
    """A user's model whose weights are the same for every seed."""
    torch.manual_seed(5)
    return modular(spec)


def pretrained_images(spec: ModelSpec) -> nn.Module:
    """One with batch normalization."""
    torch.manual_seed(5)
    return VGG(spec)


def any_size(spec: ModelSpec) -> nn.Module:
    """A user's model for images of any size."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, spec.num_outputs),
    )  # fmt: skip


def stack(spec: ModelSpec) -> nn.Module:
    """A user's model with layers that keep the width."""
    layers: list[nn.Module] = [nn.Linear(spec.num_features, 16), nn.ReLU()]
    for _ in range(2):
        layers += [nn.Linear(16, 16), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(16, spec.num_outputs))


class Words(nn.Module):
    """A user's model that says which of seven words comes next."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 16)
        self.hidden = nn.Linear(16, 16)
        self.last = nn.Linear(16, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.gelu(self.hidden(self.table(x).mean(1))))


def words(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of five of seven words, and the next: mostly the one behind the last."""
    generator = np.random.default_rng(5)
    codes = generator.integers(0, 7, (rows, 5))
    following = np.where(generator.random(rows) < 0.8, (codes[:, -1] + 1) % 7, codes[:, 0])
    return codes, following


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """A user's loss."""
    return F.cross_entropy(outputs, targets)


def _tasks() -> dict[str, Callable[[], Task]]:
    return {
        "table": lambda: Task(data=frame()),
        "regression": lambda: Task(data=frame(regression=True)),
        "multilabel": lambda: Task(data=several(labels=True), target=("near", "far", "odd")),
        "multitarget": lambda: Task(data=several(), target=("near", "far", "odd")),
        "images": lambda: Task(data=images()),
        "colors": lambda: Task(data=colors()),
        "tokens": lambda: Task(data=reviews()),
        "sequences": lambda: Task(data=waves()),
        "codes": lambda: Task(data=(images()[0].reshape(ROWS, -1).astype(np.int64), images()[1])),
        "own_model": lambda: Task(data=frame(), model=modular),
        "stack": lambda: Task(data=frame(), model=stack),
        "own_images": lambda: Task(data=images(), model=VGG),
        "any_size": lambda: Task(data=images(), model=any_size),
        "words": lambda: Task(data=words(), model=Words),
        "attending": lambda: Task(data=images(), model=AnnotatedEncoder),
        "recurrent": lambda: Task(data=images(), model=LSTMClassifier),
        "bare": lambda: Task(data=frame(), model=bare),
        "functional": lambda: Task(data=frame(), model=Functional),
        "pretrained": lambda: Task(data=frame(), model=pretrained),
        "pretrained_images": lambda: Task(data=images(), model=pretrained_images),
        "own_loss": lambda: Task(data=frame(), loss=cross_entropy),
    }


@functools.cache
def problem(kind: str) -> Problem:
    """Returns the problem of a kind, the same one each time."""
    return problem_of(_tasks()[kind]())


def problem_of(task: Task) -> Problem:
    """Returns a task's problem, with at least `TRAIN + VALID` development rows."""
    return Problem.of(task, load(task))


def member(recipe: Recipe, seed: int = 0, *, epochs: int = 8, **sizes: int) -> Member:
    """Returns a member with a split of its own, which its seed decides."""
    train, valid = sizes.get("train", TRAIN), sizes.get("valid", VALID)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(train + valid))
    return Member(recipe, seed, order[:train], order[train:], epochs)


def plain(**tables: dict[str, Any]) -> Recipe:
    """Returns a small baseline with techniques added."""
    recipe = Recipe.of(
        standardize={}, batch_size={"size": 32}, momentum={"learning_rate": 0.02, "momentum": 0.9}
    )
    for name, values in tables.items():
        recipe = recipe.with_(name, **values)
    return recipe


ALL_ROWS = torch.arange(TRAIN + VALID)
