"""Pawl optimizes deep-learning models and tells what is better from what is shown to be.

import pawl

result = pawl.optimize("adult.csv", target="income", budget="10m")
result.summary.gain       # value, interval, p-value, n
result.predict("new.csv")
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

# Threads that wait by spinning make PyTorch on a busy machine many times slower than on an idle one
# (docs/decisions/0004). It must be set before torch is imported; a value of the user's own stays.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

if TYPE_CHECKING:
    from pawl.api import optimize
    from pawl.compression import compress
    from pawl.data import register_reader
    from pawl.deployment import Bundle
    from pawl.deployment.exporting import export, load_safetensors
    from pawl.errors import PawlError
    from pawl.estimators import PawlClassifier, PawlRegressor
    from pawl.explaining import explain
    from pawl.finding import find_batch_size, find_rate
    from pawl.functions import tune
    from pawl.loops import watch
    from pawl.modalities import register_modality
    from pawl.options import ReadOptions
    from pawl.recipe import Recipe
    from pawl.search import register_sampler, register_scheduler
    from pawl.single import compare, diagnose, train
    from pawl.task import FunctionTask, Task
    from pawl.techniques import Technique, register

_HOMES = {
    "Bundle": "pawl.deployment",
    "FunctionTask": "pawl.task",
    "PawlClassifier": "pawl.estimators",
    "PawlError": "pawl.errors",
    "PawlRegressor": "pawl.estimators",
    "ReadOptions": "pawl.options",
    "Recipe": "pawl.recipe",
    "Result": "pawl.result",
    "Task": "pawl.task",
    "Technique": "pawl.techniques",
    "compare": "pawl.single",
    "compress": "pawl.compression",
    "diagnose": "pawl.single",
    "explain": "pawl.explaining",
    "export": "pawl.deployment.exporting",
    "find_batch_size": "pawl.finding",
    "find_rate": "pawl.finding",
    "load": "pawl.result",
    "load_safetensors": "pawl.deployment.exporting",
    "optimize": "pawl.api",
    "register": "pawl.techniques",
    "register_modality": "pawl.modalities",
    "register_reader": "pawl.data",
    "register_sampler": "pawl.search",
    "register_scheduler": "pawl.search",
    "train": "pawl.single",
    "tune": "pawl.functions",
    "watch": "pawl.loops",
}

__all__ = [
    "Bundle",
    "FunctionTask",
    "PawlClassifier",
    "PawlError",
    "PawlRegressor",
    "ReadOptions",
    "Recipe",
    "Result",
    "Task",
    "Technique",
    "compare",
    "compress",
    "diagnose",
    "explain",
    "export",
    "find_batch_size",
    "find_rate",
    "load",
    "load_safetensors",
    "optimize",
    "register",
    "register_modality",
    "register_reader",
    "register_sampler",
    "register_scheduler",
    "train",
    "tune",
    "watch",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    # On demand: `pawl --help` should not wait for torch.
    if name not in _HOMES:
        raise AttributeError(f"module 'pawl' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
