"""What a technique needs of a task, as it says itself of a small made-up task of each sort."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from pawl.data import ModelSpec, load
from pawl.task import Task
from pawl.techniques import Facts, Technique
from pawl.training.problem import Problem

_ROWS, _SIDE, _STEPS = 60, 8, 12


def needs(t: Technique) -> dict[str, str | None]:
    """Returns by sort of task why a technique does not fit it; `None` if it does.

    Example:
        >>> from pawl.techniques import technique
        >>> needs(technique("flip"))["classes in a table"]
        'the task has no images'
    """
    return {sort: t.fits(facts) for sort, facts in _facts().items()}


@functools.cache
def _facts() -> Mapping[str, Facts]:
    found = {}
    for sort, given in _tasks().items():
        task = Task(**given)
        found[sort] = Problem.of(task, load(task)).facts()
    return found


def _tasks() -> dict[str, dict[str, Any]]:
    random = np.random.default_rng(0)
    classes = np.arange(_ROWS) % 3
    table = pd.DataFrame({"size": random.normal(size=_ROWS), "age": random.normal(size=_ROWS)})
    table["color"] = random.choice(["red", "green", "blue"], _ROWS)
    words = [" ".join(random.choice(list("abcdefgh"), 6)) + f" word{c} and more" for c in classes]
    gray = random.integers(0, 255, (_ROWS, 1, _SIDE, _SIDE)).astype(np.uint8)
    waves = random.normal(size=(_ROWS, _STEPS, 2)).astype(np.float32)
    names = np.array(["low", "middle", "high"])[classes]
    return {
        "classes in a table": {"data": table.assign(target=names), "target": "target"},
        "values in a table": {"data": table.assign(target=table["age"] * 2.5), "target": "target"},
        "gray images": {"data": (gray, classes)},
        "images in color": {"data": (np.repeat(gray, 3, axis=1), classes)},
        "sequences of numbers": {"data": (waves, classes)},
        "texts": {"data": pd.DataFrame({"text": words, "target": names}), "target": "target"},
        "a network of your own": {"data": (gray, classes), "model": _own},
        "one that has learned": {"data": (gray, classes), "model": _learned},
    }


def _own(spec: ModelSpec) -> nn.Module:
    """Returns a network as many are: convolutions, normalization, pooling, a mean over the map.

    The last convolutions are alike, so that they make blocks.
    """
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, spec.num_outputs),
    )  # fmt: skip


def _learned(spec: ModelSpec) -> nn.Module:
    """Returns the same, with weights that no seed changes: so pawl knows that they were learned."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _own(spec)
