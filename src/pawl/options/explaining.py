"""Options of explanations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from pawl.options.model import Whole
from pawl.options.shared import LISTENER, SeedOptions, TimedOptions


class ExplainCall(SeedOptions, TimedOptions):
    """What `explain` takes beside a bundle and rows."""

    out: str | Path | None = Field(
        default=None,
        description="Folder for explain.json and explain.html, new or empty; Python may do "
        "without.",
    )
    rows: Whole = Field(
        default=20,
        ge=1,
        le=1000,
        description="Most rows that are explained one by one, the first of the data; all rows "
        "count for importances and errors.",
    )
    budget: str | int | float | None = Field(
        default=None,
        description="Time in which to stop: 30s, 2m, or seconds; by default as long as it takes, "
        "and the same seed then gives the same result.",
    )
    metric: Any = Field(
        default=None,
        description="By which columns are important, as for optimize; the bundle's by default.",
    )
    direction: str | None = Field(
        default=None, description="maximize or minimize: needed with a metric of your own."
    )
    background: Any = Field(
        default=None,
        description="Rows that the explained ones are compared with, in the form of the data, such "
        "as those that the model was trained on; the data itself by default.",
    )
    against: Any = Field(
        default=None,
        description="Another bundle of the same task, such as last month's or a compressed one: how its "
        "explanation differs on the same rows.",
    )
    model: Any = Field(
        default=None,
        description="What makes your own model, as the campaign was given it, for explanations by "
        "gradients; nothing for pawl's.",
        json_schema_extra={"python_only": True},
    )
    started: float | None = Field(
        default=None,
        description="`time.monotonic()` at which the budget began; now by default.",
        json_schema_extra={"python_only": True},
    )

    listener: Any = LISTENER
