"""Options of `compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from pawl.options.limits import LimitOptions
from pawl.options.model import Whole
from pawl.options.shared import LISTENER, SeedOptions


class CompressCall(LimitOptions, SeedOptions):
    """What `compress` takes beside a bundle and rows; limits that are given say what counts."""

    out: str | Path = Field(
        description="Folder for the new bundle and compress.json, new or empty."
    )
    batch: Whole = Field(
        default=1, ge=1, le=65536, description="Rows of a call whose latency counts."
    )
    orders: Whole = Field(
        default=4,
        ge=1,
        le=4,
        description="Most orders of steps that are tried: 1 is the usual one alone.",
    )
    runtimes: bool = Field(
        default=False,
        description="Also time ONNX Runtime with its options, OpenVINO (where it is installed) and "
        "PyTorch, turn by turn, on calls of as many rows as batch says; the fastest is what the new "
        "bundle predicts with on processors like this one.",
    )
    unlabeled: Any = Field(
        default=None,
        description="Rows in the form of the training data, without targets: what is trained also "
        "learns what the bundle predicts of them.",
    )
    metric: Any = Field(
        default=None,
        description="What is measured, where that was a function of your own.",
        json_schema_extra={"python_only": True},
    )
    model: Any = Field(
        default=None,
        description="What makes your own model, as the campaign was given it.",
        json_schema_extra={"python_only": True},
    )
    listener: Any = LISTENER
