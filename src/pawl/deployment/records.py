"""What a bundle keeps of itself: rows with what its graph predicts, and what it cost where.

The rows are made up by the schema: a bundle gives nothing away of the rows it was trained on. Does the
graph predict the same of them elsewhere, it computes the same there.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from pawl.data.templates import template
from pawl.data.types import Examples, Schema
from pawl.deployment.export import predict
from pawl.environment import cpu_features, hardware, versions
from pawl.errors import BundleError, first_line
from pawl.models import OUTPUT

CHECK, MEASURED = "check.safetensors", "measured.json"
_ROWS, _SEED = 16, 7
_INPUT = "inputs."


def check_rows(schema: Schema, graph: bytes) -> bytes:
    """Returns made-up rows and a graph's predictions of them, as safetensors."""
    rows = template(schema, _ROWS, seed=_SEED)
    tensors = {f"{_INPUT}{name}": tensor.contiguous() for name, tensor in rows.inputs.items()}
    tensors[OUTPUT] = torch.from_numpy(predict(graph, rows))
    return save(tensors)


def stored_rows(folder: Path) -> tuple[Examples, np.ndarray] | None:
    """Returns a bundle's rows, and what its graph predicted of them; `None` if an old one has none.

    Raises:
        BundleError: The file cannot be read.
    """
    path = folder / CHECK
    if not path.is_file():
        return None
    try:
        tensors = load(path.read_bytes())
        expected = tensors.pop(OUTPUT).numpy()
    except (OSError, SafetensorError, KeyError) as error:
        raise BundleError(f"{str(path)!r} cannot be read ({first_line(error)})") from None
    inputs = {name.removeprefix(_INPUT): tensor for name, tensor in tensors.items()}
    return Examples(inputs, None), expected


def apart(got: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest difference, relative to the largest prediction (at least 1).

    Infinite where shapes differ, or one is no number where the other is.
    """
    if got.shape != expected.shape or bool((np.isnan(got) != np.isnan(expected)).any()):
        return math.inf
    known = ~np.isnan(expected)
    if not known.any():
        return 0.0
    scale = max(1.0, float(np.abs(expected[known]).max()))
    return float(np.abs(got[known] - expected[known]).max()) / scale


@dataclass(frozen=True)
class Costs:
    """Median latencies in milliseconds (ONNX Runtime, CPU, one thread) of one row and of several.

    Attributes:
        latency_ms: Of one row.
        batch_latency_ms: Of several.
        batch_rows: How many these are.
    """

    latency_ms: float
    batch_latency_ms: float
    batch_rows: int

    def here(self) -> dict[str, Any]:
        """Returns them with what they were measured on, JSON-ready."""
        return {
            "latency_ms": self.latency_ms,
            "batch_latency_ms": self.batch_latency_ms,
            "batch_rows": self.batch_rows,
            "hardware": hardware(),
            "cpu_features": list(cpu_features()),
            "versions": versions(),
        }


def measured_of(folder: Path) -> dict[str, Any]:
    """Returns what a bundle's costs were, and where; empty if nothing is on record.

    Raises:
        BundleError: What is on record cannot be read.
    """
    try:
        return dict(json.loads((folder / MEASURED).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise BundleError(
            f"{str(folder / MEASURED)!r} cannot be read ({first_line(error)})"
        ) from None
