"""Options of a diagnosis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from pawl.options.campaign import RunOptions
from pawl.options.model import Whole
from pawl.options.shared import LISTENER, TimedOptions


class DiagnoseCall(RunOptions, TimedOptions):
    """What `diagnose` takes beside a source."""

    # Not typed as a `Recipe`: its module imports torch, for which `pawl -h` should not wait.
    recipe: Any = Field(
        default=None,
        description="The recipe whose training is watched, or its TOML file; by default the baseline, "
        "what a competent person writes first.",
    )
    epochs: Whole | None = Field(
        default=None,
        ge=1,
        description="Passes of the training over its rows; by their number by default.",
    )
    budget: str | int | float | None = Field(
        default=None,
        description="Time after which the training is cut short: 30s, 2m, or seconds; by default it "
        "comes to its end, and the same seed then gives the same findings.",
    )
    out: str | Path | None = Field(
        default=None,
        description="Folder for diagnosis.json, new or empty; none is kept by default.",
    )
    listener: Any = LISTENER
